package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	store, allowedSigners, time string
	timestampCA                 string
	heads, signers              []string
	asJSON                      bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [EXPORT...]",
		Short: "Check every digest, signature and link of the store",
		Long: `Reads every file of every snapshot, and compares it with the manifests, the chain and
the journal. It writes nothing. Each finding begins with "problem:" or "note:". A note
isn't a problem: for example, an interrupted publish that the next apply finishes. The
exit status is 1 if there is a problem, or if the store has neither a snapshot nor a
run.

With --store, it verifies a copy of the store, or the folder of one snapshot. The check
of one folder doesn't include the chain and the journal.

An allowed_signers file, as in ssh-keygen(1), lists the accepted signers. It must not
come from the store. The file must accept the key of each checkpoint now, and the key
of each snapshot at the time when it was signed. If you verify the folder of one
snapshot, no checkpoint covers it. The file must then also accept its key now.

--head compares the store with a head that was kept outside it. status --heads prints
the heads, and the log has the new head of each publish.`,
		Example: `  oktasync verify
  oktasync verify --store /mnt/backup/snapshots --allowed-signers allowed_signers
  oktasync verify --store snapshots/all-users/latest
  oktasync verify all-users --head 12:9f86d081884c7d65...:40:60303ae22b998861...`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd, f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store", "", "verify the store, or the snapshot, in `DIR`, without a configuration")
	flags.StringVar(&f.allowedSigners, "allowed-signers", "", "the `FILE` with the accepted signers (default store.allowed_signers_file)")
	flags.StringArrayVar(&f.heads, "head", nil, "a head that you kept, as `[EXPORT=]HEAD`, or several, one per line; can be repeated")
	flags.StringArrayVar(&f.signers, "signer", nil, "accept only this `PRINCIPAL` of the allowed signers; can be repeated")
	flags.StringVar(&f.timestampCA, "timestamp-ca", "", "the PEM `FILE` with the CA certificates of accepted time-stamping authorities (default store.timestamp_ca_file)")
	flags.StringVar(&f.time, "verify-time", "", "check the keys of checkpoints, and of the folder of one snapshot, as of `TIME` (RFC 3339) instead of now")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON document")
	a.quietFlag(cmd)
	return cmd
}

func (a *app) verify(cmd *cobra.Command, f verifyFlags, args []string) error {
	r, err := a.openVerifiable(f.store)
	if err != nil {
		return err
	}
	o, absent, err := r.options(f, args)
	if err != nil {
		return err
	}
	findings := []verify.Finding{}
	report := func(found verify.Finding) {
		if f.asJSON {
			findings = append(findings, found)
			return
		}
		a.reportFinding(found)
	}
	progress, stop := a.showVerify()
	defer stop()
	o.Progress = progress
	summary, err := r.verify(cmd.Context(), o, report)
	stop()
	if err != nil {
		return err
	}
	if summary.Snapshots == 0 && summary.Problems == 0 && r.neverUsed(o.Exports) {
		summary.Problems++
		report(verify.Finding{Problem: nothingVerified})
	}
	for _, name := range absent {
		summary.Notes++
		report(verify.Finding{Export: name, Problem: "is declared, but is not in the store", Note: true})
	}
	if o.Signers != nil && len(summary.Signed) == 0 {
		summary.Problems++
		report(verify.Finding{Problem: "nothing is signed, but allowed signers are set (--allowed-signers, store.allowed_signers_file)"})
	}
	if f.asJSON {
		err = writeJSON(a.stdout, verifyDocument{Store: r.dir(), Good: summary.Problems == 0, Summary: summary, Findings: findings})
	} else {
		a.printVerified(summary, r.folder)
	}
	if err == nil && summary.Problems > 0 {
		err = exitError{exitFailed}
	}
	return err
}

func (a *app) reportFinding(f verify.Finding) {
	kind := "problem"
	if f.Note {
		kind = "note"
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", kind, term.Safe(f.String()))
}

const nothingVerified = "the store has no snapshots, so nothing was verified (--head detects a lost chain)"

// neverUsed reports whether the journals of exports record no run.
func (v verifiable) neverUsed(exports []string) bool {
	return !slices.ContainsFunc(exports, func(export string) bool {
		journal, err := v.Journal(export)
		return err != nil || !journal.LastStarted.Time.IsZero()
	})
}

// verifiable is a store, or the folder of one snapshot.
type verifiable struct {
	*reader
	folder *snapshot.Snapshot // nil: a store
}

// openVerifiable opens the store or folder dir, or the store of the configuration if
// dir is "".
func (a *app) openVerifiable(dir string) (v verifiable, err error) {
	if dir != "" && isSnapshot(dir) {
		v.reader = &reader{}
		v.folder, err = snapshot.ReadFolder(dir)
		return v, err
	}
	v.reader, err = a.openReader(dir)
	return v, err
}

// options returns what the flags and the arguments select, and the declared exports
// that the store doesn't have.
func (v verifiable) options(f verifyFlags, args []string) (o verify.Options, absent []string, err error) {
	switch {
	case v.folder == nil:
		o.Exports, absent, err = v.verifiable(args)
	case len(args) > 0:
		err = fmt.Errorf("--store %s: is the folder of one snapshot; name no export", f.store)
	case len(f.heads) > 0:
		err = fmt.Errorf("--store %s: is the folder of one snapshot, and --head needs the whole store", f.store)
	default:
		o.Exports = []string{v.folder.Manifest.Export}
	}
	if err != nil {
		return o, nil, err
	}
	if f.allowedSigners == "" && v.cfg != nil {
		f.allowedSigners = v.cfg.Store.AllowedSignersFile
	}
	if o.Signers, err = org.AllowedSigners(f.allowedSigners); err != nil {
		return o, nil, err
	}
	if v.cfg != nil {
		if o.Authorities, err = org.Authorities(v.cfg); err != nil {
			return o, nil, err
		}
	}
	if f.timestampCA != "" {
		if o.Authorities, err = org.Certificates(f.timestampCA); err != nil {
			return o, nil, fmt.Errorf("--timestamp-ca: %w", err)
		}
	}
	if o.Principals = f.signers; len(f.signers) > 0 && o.Signers == nil {
		return o, nil, errors.New("--signer needs the allowed signers: add --allowed-signers FILE")
	}
	if f.time != "" {
		if o.Time, err = time.Parse(time.RFC3339, f.time); err != nil {
			return o, nil, fmt.Errorf("--verify-time %s: must be a time, such as 2026-11-23T06:00:00Z", term.Word(f.time))
		}
	}
	o.Heads, err = parseHeads(f.heads, o.Exports)
	return o, absent, err
}

func (v verifiable) dir() string {
	if v.folder != nil {
		return v.folder.Dir()
	}
	return v.Dir()
}

func (v verifiable) verify(ctx context.Context, o verify.Options, report func(verify.Finding)) (verify.Summary, error) {
	if v.folder != nil {
		return verify.Folder(ctx, v.folder.Dir(), o, report)
	}
	return verify.Verify(ctx, v.Store, o, report)
}

// verifyDocument is the shape of `verify --json`.
type verifyDocument struct {
	Store    string           `json:"store"`
	Good     bool             `json:"good"`
	Summary  verify.Summary   `json:"summary"`
	Findings []verify.Finding `json:"findings"`
}

func (a *app) printVerified(s verify.Summary, folder *snapshot.Snapshot) {
	for _, h := range s.Heads {
		fmt.Fprintf(a.stdout, "%s: head %s (%s)\n", h.Export, h, cmp.Or(h.Snapshot, "no snapshot"))
	}
	for _, e := range s.Existed {
		fmt.Fprintf(a.stdout, "%s@%s: existed by %s (time stamp of %s)\n", e.Export, e.Snapshot, e.By.UTC().Format(time.RFC3339), e.Stamp)
	}
	anchored := true
	for _, signed := range s.Signed {
		whose := "of " + signed.Principals
		if signed.Principals == "" {
			anchored = false
			whose = "not anchored: use --allowed-signers to check whose key this is"
		}
		fmt.Fprintf(a.stdout, "%s: %s signed by %s, %s\n", signed.Export, term.Plural(signed.Manifests, "manifest"), signed.Fingerprint, whose)
	}
	fmt.Fprintf(a.stdout, "%s of %s: %s, %s, %d bytes read\n", term.Plural(s.Snapshots, "snapshot"), term.Plural(s.Exports, "export"),
		term.Plural(s.Files, "file"), recordsText(s.Records), s.Bytes)
	if s.Pruned > 0 {
		fmt.Fprintf(a.stdout, "%s of pruned snapshots keep the chain without a gap\n", term.Plural(s.Pruned, "manifest"))
	}
	switch {
	case s.Problems > 0:
		a.printError(fmt.Errorf("%s found; verify changes no file", term.Plural(s.Problems, "problem")))
	case s.Snapshots == 0: // all reads failed, or are in quarantine
		fmt.Fprintln(a.stdout, nothingVerified)
	case len(s.Signed) == 0:
		fmt.Fprintln(a.stdout, "OK. The snapshots are not signed, so a fully rewritten chain would also pass.")
	case !anchored:
		fmt.Fprintln(a.stdout, "OK. The signers are not checked, so a chain rewritten with another key would also pass.")
	default:
		fmt.Fprintln(a.stdout, "OK. All signatures are from allowed signers.")
	}
	if folder != nil {
		m := &folder.Manifest
		fmt.Fprintf(a.stdout, "Only the snapshot %s@%s of %s was verified, without the chain and the journal.\n", m.Export, m.Snapshot, term.Safe(m.Org.URL))
	}
}

// parseHeads parses the values of --head: HEAD if one export is verified, otherwise a line
// EXPORT=HEAD for each export.
func parseHeads(texts, exports []string) ([]snapshot.Head, error) {
	var heads []snapshot.Head
	for _, text := range splitHeads(texts) {
		export, rest, named := strings.Cut(text, "=")
		if !named {
			if len(exports) != 1 {
				return nil, fmt.Errorf("--head %s: name the export, as EXPORT=HEAD", term.Word(text))
			}
			export, rest = exports[0], text
		}
		head, err := snapshot.ParseHead(rest)
		if err != nil {
			return nil, fmt.Errorf("--head %s: must be SEQUENCE:MANIFEST:LINES:LINE, as `oktasync status --heads` prints it", term.Word(text))
		}
		if !slices.Contains(exports, export) {
			return nil, fmt.Errorf("--head: unknown export %s; %s", term.Word(export), term.Suggestion(export, exports))
		}
		head.Export = export
		heads = append(heads, head)
	}
	return heads, nil
}

// splitHeads returns the lines of texts. An empty text remains, because it names no head.
func splitHeads(texts []string) []string {
	var heads []string
	for _, text := range texts {
		heads = append(heads, strings.Split(strings.TrimSpace(text), "\n")...)
	}
	return heads
}

// recordsText lists the number of records by resource.
func recordsText(records map[string]int) string {
	var parts []string
	for _, r := range snapshot.Resources() {
		if n, ok := records[r.Name]; ok {
			parts = append(parts, r.Plural(n))
		}
	}
	if len(parts) == 0 {
		return "no records"
	}
	return strings.Join(parts, ", ")
}
