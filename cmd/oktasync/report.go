package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/document"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot/render"
)

// reportFlags are the flags of report.
type reportFlags struct {
	at, from, to          string // snapshots; "": the newest
	nearest, allowCarried bool
	format, output        string
	samples               []string
	seed, preparedBy      string
	section               string
	review                reviewFlags
}

func (a *app) reportCommand() *cobra.Command {
	f := new(reportFlags)
	cmd := &cobra.Command{
		Use:   "report EXPORT[@SNAPSHOT]",
		Short: "Write a report for people, as HTML or XLSX",
		Long: `Writes a report for people as one file. It has a cover with the source of the data, and
tables of administrators and of accounts to review, such as dormant accounts and
accounts without a manager. The default is the newest snapshot.

With --from, the report also has the changes between two snapshots: closed accounts,
joiners, movers, changes of access, and the reads in between. --from DATE is the state
at the end of that day. For a quarter, use --from 2026-03-31 --to 2026-06-30.

With --review, it writes the rows of an access review instead of these tables, with
columns for decisions: an XLSX file with a sheet for each reviewer, or one CSV file.
review check compares the decisions with the snapshot.

The report uses only snapshots that the checkpoint covers, after a check of their
signatures. With SOURCE_DATE_EPOCH, the same store and options give the same file.`,
		Example: `  oktasync report workforce --output report.html
  oktasync report workforce --at 2026-06-30 --output report.xlsx
  oktasync report workforce --from @-7 > changes.html
  oktasync report workforce --from @-7 --format csv --section leavers
  oktasync report workforce --sample dormant:25 --seed 'audit 2026' > sample.html
  oktasync report workforce --review manager --format xlsx --output review.xlsx
  oktasync report workforce --review manager --app Logbook --format csv > review.csv`,
		Args: args(1, 1, "EXPORT[@SNAPSHOT]"),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.at, "at", "", "use the last snapshot up to `DATE` (default the newest); or a snapshot by name, or by @-7: the seventh before the newest")
	flags.StringVar(&f.from, "from", "", "report what changed after the snapshot of this `DATE` (see --at)")
	flags.StringVar(&f.to, "to", "", "with --from: compare with the snapshot of this `DATE` (default the newest)")
	nearestFlag(cmd, &f.nearest)
	flags.BoolVar(&f.allowCarried, "allow-carried", false, "with --from: accept group members that were carried over, not read")
	flags.StringVar(&f.format, "format", "", "html or xlsx; with --review: xlsx or csv; with --section: csv (default the extension of --output, or html)")
	flags.StringVar(&f.section, "section", "", "with --format csv: write the section `ID`, such as leavers")
	flags.StringVar(&f.output, "output", "", "write to this `FILE` instead of standard output")
	flags.StringArrayVar(&f.samples, "sample", nil, "write only N rows of the section, drawn with --seed, as `SECTION:N`, such as dormant:25")
	flags.StringVar(&f.seed, "seed", "", "with --sample: any `TEXT`; the same seed draws the same rows")
	flags.StringVar(&f.preparedBy, "prepared-by", "", "`TEXT` for the cover (default the user of this process)")
	f.review.add(cmd)
	return a.reads(cmd, func(r *reader, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		return a.report(cmd.Context(), r, args[0], f)
	})
}

// check sets the default of --format, and checks the flags.
func (f *reportFlags) check() error {
	if f.format == "" {
		f.format = "html"
		if ext := strings.ToLower(filepath.Ext(f.output)); ext == ".xlsx" || ext == ".csv" {
			f.format = ext[1:]
		}
	}
	switch {
	case f.at != "" && f.from+f.to != "":
		return errors.New("use --at for one snapshot, or --from and --to for the changes between two")
	case f.to != "" && f.from == "":
		return errors.New("--to needs --from; use --at for one snapshot")
	case !slices.Contains([]string{"html", "xlsx", "csv"}, f.format):
		return fmt.Errorf("--format %s: must be html, xlsx or csv", term.Word(f.format))
	case f.format == "csv" && f.section == "" && f.review.by == "":
		return errors.New("--format csv needs --section ID or --review COLUMN")
	case f.section != "" && (f.format != "csv" || f.review.by != ""):
		return errors.New("--section needs --format csv, without --review")
	case len(f.samples) > 0 && f.seed == "":
		return errors.New("--sample needs --seed TEXT, which makes the sample repeatable")
	case len(f.samples) == 0 && f.seed != "":
		return errors.New("--seed needs --sample SECTION:N")
	}
	return f.review.check(f.format, f.from, f.seed)
}

func (a *app) report(ctx context.Context, r *reader, arg string, f *reportFlags) error {
	if f.format == "xlsx" && f.output == "" && term.IsTerminal(a.stdout) {
		return errors.New("an XLSX file can't be written to a terminal; add --output FILE")
	}
	o, err := a.reportOptions(r, arg, f)
	if err != nil {
		return err
	}
	if err := report.Check(o); err != nil {
		return err
	}
	write, err := a.reportWriter(ctx, o, f)
	if err != nil {
		return err
	}
	if f.review.by != "" {
		a.noteHold(r, o.Snapshot)
	}
	if f.output != "" {
		return writeAtomically(ctx, f.output, write)
	}
	w := bufio.NewWriter(canceledWriter{ctx, a.stdout})
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// reportWriter returns the function that writes the report.
func (a *app) reportWriter(ctx context.Context, o *report.Options, f *reportFlags) (func(io.Writer) error, error) {
	if f.review.by != "" {
		return f.review.writer(ctx, o, f.format)
	}
	d, err := report.Build(o)
	if err != nil {
		return nil, err
	}
	if err := f.drawSamples(d); err != nil {
		return nil, err
	}
	for i := range d.Sections {
		d.Sections[i].Rows = cancelable(ctx, d.Sections[i].Rows)
	}
	switch f.format {
	case "xlsx":
		return func(w io.Writer) error { return document.WriteXLSX(w, d) }, nil
	case "csv":
		s, err := f.sectionNamed(d, f.section)
		if err == nil && s.Missing != "" {
			err = fmt.Errorf("%s: %s", s.ID, s.Missing)
		}
		if err != nil {
			return nil, fmt.Errorf("--section: %w", err)
		}
		for _, gap := range s.Gaps {
			fmt.Fprintf(a.stderr, "oktasync: note: %s\n", gap)
		}
		return func(w io.Writer) error { return writeSection(w, s) }, nil
	}
	return func(w io.Writer) error { return document.WriteHTML(w, d) }, nil
}

// reportOptions finds the snapshots, and what the cover needs.
func (a *app) reportOptions(r *reader, arg string, f *reportFlags) (*report.Options, error) {
	export, name := cutSnapshot(arg)
	if name != "" && f.at+f.from+f.to != "" {
		return nil, errors.New("EXPORT@SNAPSHOT names a snapshot, and so do --at, --from and --to; use one of them")
	}
	name += f.at + f.to
	r, err := r.checked(export)
	if err != nil {
		return nil, err
	}
	o := &report.Options{
		Store: r.Store, Zone: r.zone(export), Asked: asked(name, r.zone(export)), AskedFrom: asked(f.from, r.zone(export)),
		PreparedBy: cmp.Or(f.preparedBy, config.CurrentUser()), Tool: toolVersion(),
	}
	if o.Generated, err = a.generated(); err != nil {
		return nil, err
	}
	if o.Snapshot, err = a.snapshotAt(r, export, name, f.nearest); err != nil {
		return nil, err
	}
	if f.from != "" {
		if o.From, err = a.snapshotAt(r, export, f.from, f.nearest); err != nil {
			return nil, err
		}
		if err := checkOrder(o.From, o.Snapshot); err != nil {
			return nil, err
		}
		if carried := report.Carried(o.Snapshot.Manifest.Resources, o.Zone); carried != "" && !f.allowCarried {
			return nil, config.WithHint(fmt.Errorf("%s@%s, the end of the period, carries %s", export, o.Snapshot.Name(), carried),
				"--allow-carried accepts them, and the cover states them; `oktasync apply --full` reads all members")
		}
	}
	if _, when := r.declared(export); when != nil {
		o.Next = when.Next
	}
	if o.Signers, err = r.signers(); err != nil {
		return nil, err
	}
	if r.cfg != nil {
		if o.Authorities, err = org.Authorities(r.cfg); err != nil {
			return nil, err
		}
	}
	return o, a.noteState(r, o.Snapshot, name)
}

// asked describes how the user selected a snapshot.
func asked(name string, zone *time.Location) report.Asked {
	day, end, what := dateOf(name, zone)
	switch {
	case name == "":
		return report.Asked{Text: "the newest snapshot"}
	case what == "":
		return report.Asked{Text: "the snapshot " + name}
	case day.Equal(end):
		return report.Asked{Text: what, Time: end}
	}
	return report.Asked{Text: "the end of " + day.Format("2 January 2006") + " (" + zone.String() + ")", Time: end}
}

// generated returns the time of the report: now, or SOURCE_DATE_EPOCH, which makes the
// same file again (https://reproducible-builds.org/specs/source-date-epoch/).
func (a *app) generated() (time.Time, error) {
	text, set := a.getenv("SOURCE_DATE_EPOCH")
	if !set || text == "" {
		return time.Now(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: must be a number of seconds since 1970", term.Word(text))
	}
	return time.Unix(seconds, 0), nil
}

// drawSamples replaces sections of d by samples of their rows.
func (f *reportFlags) drawSamples(d *document.Document) error {
	drawn := make(map[string]bool)
	for _, sample := range f.samples {
		id, number, _ := strings.Cut(sample, ":")
		if drawn[id] {
			return fmt.Errorf("--sample %s: the section has a sample already", term.Word(sample))
		}
		drawn[id] = true
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return fmt.Errorf("--sample %s: must be SECTION:N, such as dormant:25", term.Word(sample))
		}
		s, err := f.sectionNamed(d, id)
		if err != nil {
			return fmt.Errorf("--sample: %w", err)
		}
		if *s, err = document.Sample(*s, n, f.seed); err != nil {
			return err
		}
	}
	return nil
}

func (f *reportFlags) sectionNamed(d *document.Document, id string) (*document.Section, error) {
	var ids []string
	for i, s := range d.Sections {
		if s.ID == id {
			return &d.Sections[i], nil
		}
		ids = append(ids, s.ID)
	}
	err := fmt.Errorf("the report has no section %s; %s", term.Word(id), term.Suggestion(id, ids))
	if f.from == "" {
		err = config.WithHint(err, "the sections about a period, such as leavers, need --from DATE")
	}
	return nil, err
}

// writeSection writes the rows of a section as CSV.
func writeSection(w io.Writer, s *document.Section) error {
	var names []string
	for _, c := range s.Columns {
		names = append(names, c.Name)
	}
	line := render.AppendTexts(nil, append(names, document.KeyColumn))
	if _, err := w.Write(line); err != nil {
		return err
	}
	for row, err := range s.Rows {
		if err == nil {
			line = render.AppendTexts(line[:0], append(row.Cells, row.Key))
			_, err = w.Write(line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelable returns rows that end with an error when ctx ends, so that a writer removes
// its temporary files.
func cancelable(ctx context.Context, rows iter.Seq2[document.Row, error]) iter.Seq2[document.Row, error] {
	return func(yield func(document.Row, error) bool) {
		for row, err := range rows {
			if !yield(row, cmp.Or(err, ctx.Err())) {
				return
			}
		}
	}
}

// writeAtomically replaces the file at path by what write writes. Only its owner can read
// it. If write fails or panics, or ctx ends, the file stays as it was. A symbolic link is
// refused: the rename would replace the link.
func writeAtomically(ctx context.Context, path string, write func(io.Writer) error) (err error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: it isn't a regular file", path) // replacing a device would break it
	}
	dir, name := filepath.Split(path)
	partial := filepath.Join(dir, "."+name+".partial")
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return config.WithHint(fmt.Errorf("write %s: %w", path, err), "another command writes this file; if none does, remove "+partial)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Unwrap(err)) // without the name of the partial file
	}
	renamed := false
	defer func() {
		if !renamed {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	w := bufio.NewWriter(canceledWriter{ctx, f})
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Unwrap(err))
	}
	renamed = true
	return nil
}

// canceledWriter is a writer that fails when its context ends.
type canceledWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c canceledWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
