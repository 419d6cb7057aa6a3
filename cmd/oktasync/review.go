package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/document"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/review"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
)

// reviewFlags are the flags of report for the population of a review.
type reviewFlags struct {
	by string
	accessQuery
}

func (f *reviewFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.by, "review", "", "write the rows of an access review, grouped by this `COLUMN` of the CSV output of oktasync access, such as manager")
	flags.StringVar(&f.user, "user", "", "with --review: only paths of this `USER`")
	flags.StringVar(&f.group, "group", "", "with --review: only paths through this `GROUP`")
	flags.StringVar(&f.app, "app", "", "with --review: only paths to this `APP`")
	flags.StringVar(&f.role, "role", "", "with --review: the holders of the admin `ROLE`, or of all roles, instead of paths to apps")
}

// check checks the flags, with the format and the other flags of report.
func (f *reviewFlags) check(format string, others ...string) error {
	switch {
	case f.by == "" && f.user+f.group+f.app+f.role != "":
		return errors.New("--user, --group, --app and --role need --review COLUMN")
	case f.by == "":
		return nil
	case format != "xlsx" && format != "csv":
		return errors.New("--review needs --format xlsx or --format csv, because people enter decisions there")
	case strings.Join(others, "") != "":
		return errors.New("--review is about one snapshot, without --from, --to, --sample and --seed")
	}
	return nil
}

// population returns the population that the flags select in s.
func (f *reviewFlags) population(s *snapshot.Snapshot) (*review.Population, error) {
	ids, err := f.find([]*snapshot.Snapshot{s})
	if err != nil {
		return nil, err
	}
	p := &review.Population{By: f.by, Apps: ids}
	if f.role != "" {
		p.Roles = &access.RoleQuery{Role: f.role, User: ids.User, Group: ids.Group, App: ids.App}
		if f.role == "all" {
			p.Roles.Role = ""
		}
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("--review: %w", err)
	}
	return p, nil
}

// writer returns the function that writes the population of a review.
func (f *reviewFlags) writer(ctx context.Context, o *report.Options, format string) (func(io.Writer) error, error) {
	p, err := f.population(o.Snapshot)
	if err != nil {
		return nil, err
	}
	if format == "csv" {
		return func(w io.Writer) error { return p.WriteCSV(w, o.Store, o.Snapshot) }, nil
	}
	d := &document.Document{Title: "Review of " + o.Snapshot.Manifest.Export + "@" + o.Snapshot.Name()}
	if d.Cover, err = report.Cover(o); err != nil {
		return nil, err
	}
	d.Cover = append(d.Cover,
		document.Fact{Name: "Review", Text: []string{
			"The population is " + p.String() + ". Each sheet has the rows of one reviewer: the value of " + p.By + ". " +
				"This file doesn't show that anybody reviewed the rows. `oktasync review check` compares the decisions with the snapshot.",
		}})
	return func(w io.Writer) error {
		sections, spool, err := p.Sheets(ctx, o.Store, o.Snapshot)
		if tooMany := (*review.TooManyError)(nil); errors.As(err, &tooMany) {
			err = config.WithHint(err, "use --format csv, or select fewer rows with --app, --group or --user")
		}
		if err != nil {
			return err
		}
		defer spool.Close()
		d.Sections = sections
		return document.WriteXLSX(w, d)
	}, nil
}

// noteHold prints how to keep the snapshot of a review, if retention can prune it.
func (a *app) noteHold(r *reader, s *snapshot.Snapshot) {
	if r.cfg == nil {
		return
	}
	selected, err := r.cfg.Select([]string{s.Manifest.Export})
	if err != nil || selected[0].Retain.Snapshots() == 0 || slices.Contains(selected[0].Hold, s.Name()) {
		return
	}
	fmt.Fprintf(a.stderr, "oktasync: note: retention can prune %s before the review ends; to keep it, set `hold: [%s]` of the export %s\n",
		s.Name(), strings.Join(append(slices.Clone(selected[0].Hold), s.Name()), ", "), s.Manifest.Export)
}

func (a *app) reviewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "review check",
		Short: "Check the decisions of an access review",
		Long: `Checks decisions that people recorded in a spreadsheet, or in Okta Identity Governance.
report --review writes the spreadsheet.`,
		Example: "  oktasync review check review.csv --against workforce@2026-06-30",
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.reviewCheckCommand())
	return cmd
}

// reviewCheckFlags are the flags of review check.
type reviewCheckFlags struct {
	against, due          string
	headers               []string
	noRecord, asJSON, all bool
}

func (a *app) reviewCheckCommand() *cobra.Command {
	f := new(reviewCheckFlags)
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Compare recorded decisions with a snapshot",
		Long: `Compares the decisions in CSV files with the snapshot that the review was about. The
files are those of report --review, or the CSV file of Okta's report Past Campaign
Details. Save each sheet of a workbook as "CSV UTF-8", and pass all files of a review at
once.

It lists the rows that are missing, extra, altered, duplicate or undecided. It also
lists decisions by people who aren't active users, decisions about the reviewer's own
access, and decisions that are older than the snapshot or later than --due. For each
revoked row, it reports whether later snapshots still contain it. The journal records
the SHA-256 of each file; a second check of the same file adds nothing.

The exit status is 1 if it finds a problem. A check doesn't show that a decision was
right, or who entered it.`,
		Example: `  oktasync review check review.csv --against workforce@2026-06-30
  oktasync review check sheets/*.csv --against workforce@2026-06-30 --due 2026-07-31
  oktasync review check campaign.csv --against workforce@2026-06-30 --column decision=Outcome`,
		Args: args(1, 10_000, "FILE..."),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.against, "against", "", "the `EXPORT@SNAPSHOT` that the review was about")
	flags.StringVar(&f.due, "due", "", "decisions after this `DATE` are late")
	flags.StringArrayVar(&f.headers, "column", nil, "the header of a column of Okta's file, as `FIELD=HEADER`; can be repeated")
	flags.BoolVar(&f.noRecord, "no-record", false, "don't record the files in the journal")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON document")
	allFlag(cmd, &f.all)
	return a.reads(cmd, func(r *reader, args []string) error {
		export, name, named := strings.Cut(f.against, "@")
		switch {
		case !named || name == "":
			return errors.New("review check needs --against EXPORT@SNAPSHOT, the snapshot that the review was about")
		case r.cfg == nil && !f.noRecord:
			return errors.New("--store is without a configuration, so nothing can be recorded in the journal; add --no-record")
		}
		return a.reviewCheck(cmd.Context(), r, export, args, f)
	})
}

func (a *app) reviewCheck(ctx context.Context, r *reader, export string, files []string, f *reviewCheckFlags) error {
	o, err := a.reviewOptions(r, f)
	if err != nil {
		return err
	}
	o.Files = files
	p := &reviewPrinter{w: bufio.NewWriter(a.stdout), limit: a.limit(f.all), asJSON: f.asJSON}
	p.begin(o.Snapshot)
	sum, err := review.Check(ctx, o, p.finding)
	missing, ambiguous := (*review.MissingColumnsError)(nil), (*review.AmbiguousColumnError)(nil)
	if errors.As(err, &missing) && missing.Okta || errors.As(err, &ambiguous) {
		err = config.WithHint(err, "name the columns of Okta's file: --column FIELD=HEADER, where FIELD is "+strings.Join(review.OktaFields, ", "))
	}
	if wrong := (*review.WrongSnapshotError)(nil); errors.As(err, &wrong) {
		err = r.hintAgainst(err, export, wrong)
	}
	if err != nil {
		return errors.Join(err, p.w.Flush())
	}
	events := []recordedFile{}
	for _, file := range sum.Files {
		events = append(events, recordedFile{File: file})
	}
	if !f.noRecord {
		if err = a.record(ctx, export, o.Snapshot, events); err != nil {
			err = fmt.Errorf("the files were checked, but not recorded: %w", err)
		}
	}
	if err := errors.Join(err, p.end(sum, events), p.w.Flush()); err != nil || sum.Problems == 0 {
		return err
	}
	if !f.asJSON {
		a.printError(fmt.Errorf("%s found", term.Plural(sum.Problems, "problem")))
	}
	return exitError{exitFailed}
}

// reviewOptions returns what the flags select.
func (a *app) reviewOptions(r *reader, f *reviewCheckFlags) (*review.Options, error) {
	export, name := cutSnapshot(f.against)
	r, err := r.checked(export)
	if err != nil {
		return nil, err
	}
	s, err := a.snapshotAt(r, export, name, false)
	if err != nil {
		return nil, err
	}
	o := &review.Options{Store: r.Store, Snapshot: s, Headers: make(map[string]string), Zone: r.zone(export), Now: time.Now()}
	if f.due != "" {
		begin, end, what := dateOf(f.due, o.Zone)
		if what == "" {
			return nil, fmt.Errorf("--due %s: must be a date such as 2026-12-15, or a time such as 2026-12-15T18:00:00Z", term.Word(f.due))
		}
		if o.Due = end; begin.Equal(end) {
			o.Due = end.Add(time.Nanosecond) // the time itself isn't late
		}
	}
	for _, header := range f.headers {
		field, name, named := strings.Cut(header, "=")
		if !named || !slices.Contains(review.OktaFields, field) {
			return nil, fmt.Errorf("--column %s: must be FIELD=HEADER, where FIELD is %s", term.Word(header), strings.Join(review.OktaFields, ", "))
		}
		o.Headers[field] = name
	}
	covered := &report.Options{Store: r.Store, Snapshot: s}
	if covered.Signers, err = r.signers(); err != nil {
		return nil, err
	}
	return o, report.Check(covered)
}

// hintAgainst adds the snapshot that a file is about, if the store has it.
func (r *reader) hintAgainst(err error, export string, wrong *review.WrongSnapshotError) error {
	if _, notName := snapshot.ParseName(wrong.Snapshot); notName != nil { // the text is hostile
		return err
	}
	exports, _ := r.exports(nil)
	for _, name := range append([]string{export}, exports...) {
		if s, notFound := r.Snapshot(name, wrong.Snapshot); notFound == nil && s.Digest == wrong.ManifestSHA256 {
			return config.WithHint(err, "the file is about another snapshot: --against "+name+"@"+s.Name())
		}
	}
	return err
}

// A recordedFile is a file, and its event in the journal.
type recordedFile struct {
	review.File
	RecordedAt string `json:"recorded_at"` // "": it isn't recorded
	RecordedBy string `json:"recorded_by"`
	earlier    bool
}

func (a *app) record(ctx context.Context, export string, s *snapshot.Snapshot, files []recordedFile) error {
	r, user, err := a.openWritable(export)
	if err != nil {
		return err
	}
	return r.write(ctx, export, "review check", func(w *snapshot.Writer) error {
		for i := range files {
			f := &files[i]
			e, earlier, err := w.RecordReview(s, f.SHA256, user)
			if err != nil {
				return fmt.Errorf("record %s: %w", f.Name, err)
			}
			f.RecordedAt, f.RecordedBy, f.earlier = e.Time.String(), e.User, earlier
		}
		return nil
	})
}

// A reviewPrinter prints the findings and the summary of a check.
type reviewPrinter struct {
	w        *bufio.Writer
	limit    int // of findings; 0: none
	asJSON   bool
	findings int
}

func (p *reviewPrinter) begin(s *snapshot.Snapshot) {
	if p.asJSON {
		fmt.Fprintf(p.w, "{\"export\":%q,\"snapshot\":%q,\"manifest_sha256\":%q,\"findings\":[", s.Manifest.Export, s.Name(), s.Digest)
	}
}

func (p *reviewPrinter) finding(f review.Finding) {
	p.findings++
	if p.asJSON {
		separator := ",\n"
		if p.findings == 1 {
			separator = "\n"
		}
		line, _ := json.Marshal(f) // texts, numbers and booleans
		fmt.Fprintf(p.w, "%s%s", separator, line)
	} else if p.limit == 0 || p.findings <= p.limit {
		fmt.Fprintln(p.w, term.Safe(f.String()))
	}
}

func (p *reviewPrinter) end(sum *review.Summary, files []recordedFile) error {
	if p.asJSON {
		summary, err := json.Marshal(sum)
		if err != nil {
			return err
		}
		recorded, err := json.Marshal(files)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.w, "\n],\"summary\":%s,\"files\":%s}\n", summary, recorded)
		return err
	}
	if hidden := p.findings - p.limit; p.limit > 0 && hidden > 0 {
		fmt.Fprintf(p.w, "… and %d more; --all prints them\n", hidden)
	}
	if p.findings > 0 {
		fmt.Fprintln(p.w)
	}
	for _, r := range sum.Reviewers {
		fmt.Fprintf(p.w, "decided by %s: %d keep, %d revoke\n", term.Safe(r.DecidedBy), r.Keep, r.Revoke)
	}
	for _, f := range files {
		fmt.Fprintf(p.w, "%s: SHA-256 %s, %s\n", term.Safe(f.Name), f.SHA256, f.text())
	}
	fmt.Fprintf(p.w, "population: %s\n", term.Safe(sum.Population)) // a file can name a smaller one
	fmt.Fprintf(p.w, "%s: %d keep, %d revoke, %d undecided\n", term.Plural(sum.Items, "row"), sum.Keep, sum.Revoke, sum.Undecided)
	if sum.Problems == 0 {
		fmt.Fprintln(p.w, "No problems. This doesn't show that a decision was right, or who entered it.")
	}
	return nil
}

// text says whether the file is recorded.
func (f *recordedFile) text() string {
	switch {
	case f.RecordedAt == "":
		return "not recorded"
	case f.earlier:
		return "recorded before, " + f.RecordedAt + ", by " + term.Safe(f.RecordedBy)
	}
	return "recorded in the journal by " + term.Safe(f.RecordedBy)
}
