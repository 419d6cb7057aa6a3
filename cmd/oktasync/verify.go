package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	store, allowedSigners string
	heads                 []string
	asJSON                bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [EXPORT...]",
		Short: "Check every digest, signature and link of the store",
		Long: `Reads every file of every snapshot and holds it against its manifest, the chain
of manifests and the journal. It writes nothing, and works on a copied store
with --store. The exit status is 1 where anything does not fit; a publish that
was interrupted is noted and does: the next apply finishes it.

Whose signatures count is said by an allowed_signers file as ssh-keygen(1) has
it, which must not come from the store. --head holds the store against the end
of a chain that was noted elsewhere (status --heads, the log of a publish).`,
		Example: `  oktasync verify
  oktasync verify --store /mnt/backup/snapshots --allowed-signers allowed_signers
  oktasync verify all-users --head 12:9f86d081884c7d65...`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd, f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store", "", "look at the store in `DIR`, without a configuration")
	flags.StringVar(&f.allowedSigners, "allowed-signers", "", "whose signatures count, as a `FILE` of ssh-keygen (default store.allowed_signers_file)")
	flags.StringArrayVar(&f.heads, "head", nil, "a head noted elsewhere, as `[EXPORT=]SEQUENCE:DIGEST`; can be repeated")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON document")
	a.quietFlag(cmd)
	return cmd
}

func (a *app) verify(cmd *cobra.Command, f verifyFlags, args []string) error {
	r, err := a.openReader(f.store)
	if err != nil {
		return err
	}
	var o snapshot.VerifyOptions
	var absent []string
	if o.Exports, absent, err = r.verifiable(args); err != nil {
		return err
	}
	if f.allowedSigners == "" && r.cfg != nil {
		f.allowedSigners = r.cfg.Store.AllowedSignersFile
	}
	if o.Signers, err = org.AllowedSigners(f.allowedSigners); err != nil {
		return err
	}
	if o.Heads, err = parseHeads(f.heads, o.Exports); err != nil {
		return err
	}
	for _, head := range o.Heads {
		if !slices.Contains(o.Exports, head.Export) {
			return fmt.Errorf("--head: unknown export %s; %s", term.Word(head.Export), term.Suggestion(head.Export, o.Exports))
		}
	}
	findings := []snapshot.Finding{}
	report := func(found snapshot.Finding) {
		findings = append(findings, found)
		if !f.asJSON {
			fmt.Fprintln(a.stdout, term.Safe(found.String()))
		}
	}
	tell, stop := a.showVerify()
	defer stop()
	o.Progress = tell
	summary, err := r.VerifyWith(cmd.Context(), o, report)
	stop()
	if err != nil {
		return err
	}
	for _, name := range absent {
		summary.Notes++
		report(snapshot.Finding{Export: name, Problem: "is declared, and the store has nothing of it", Note: true})
	}
	if o.Signers != nil && len(summary.Signed) == 0 {
		summary.Problems++
		report(snapshot.Finding{Problem: "nothing is signed, and --allowed-signers or store.allowed_signers_file says whose signatures to expect"})
	}
	if f.asJSON {
		err = writeJSON(a.stdout, verifyDocument{Store: r.Dir(), Good: summary.Problems == 0, Summary: summary, Findings: findings})
	} else {
		a.printVerified(summary)
	}
	if err == nil && summary.Problems > 0 {
		err = exitError{exitFailed}
	}
	return err
}

// verifyDocument is the shape of `verify --json`.
type verifyDocument struct {
	Store    string             `json:"store"`
	Good     bool               `json:"good"`
	Summary  snapshot.Summary   `json:"summary"`
	Findings []snapshot.Finding `json:"findings"`
}

func (a *app) printVerified(s snapshot.Summary) {
	for _, h := range s.Heads {
		fmt.Fprintf(a.stdout, "%s: head is sequence %d, %s, manifest sha256 %s\n", h.Export, h.Sequence, h.Snapshot, h.Digest)
	}
	anchored := true
	for _, signed := range s.Signed {
		whose := "of " + signed.Principals
		if signed.Principals == "" {
			anchored = false
			whose = "not anchored: whose key that is, --allowed-signers would say"
		}
		fmt.Fprintf(a.stdout, "%s: %s signed by %s, %s\n", signed.Export, term.Plural(signed.Manifests, "manifest"), signed.Fingerprint, whose)
	}
	fmt.Fprintf(a.stdout, "%s of %s: %s, %s, %d bytes read\n", term.Plural(s.Snapshots, "snapshot"), term.Plural(s.Exports, "export"),
		term.Plural(s.Files, "file"), term.Plural(s.Users, "user"), s.Bytes)
	if s.Pruned > 0 {
		fmt.Fprintf(a.stdout, "%s of what retention removed hold the chain together\n", term.Plural(s.Pruned, "manifest"))
	}
	switch {
	case s.Problems > 0:
		a.printError(fmt.Errorf("%s found; the files are as they were, nothing was repaired", term.Plural(s.Problems, "problem")))
	case s.Snapshots == 0:
		fmt.Fprintln(a.stdout, "there are no snapshots: nothing was verified (--head tells a lost chain from one that never was)")
	case len(s.Signed) == 0:
		fmt.Fprintln(a.stdout, "everything fits (nothing is signed: a chain made anew as a whole would fit too)")
	case !anchored:
		fmt.Fprintln(a.stdout, "everything fits (signed, not anchored: a chain made anew with another key would fit too)")
	default:
		fmt.Fprintln(a.stdout, "everything fits, and is signed by who may")
	}
}

var headDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parseHeads reads what --head was given: SEQ:DIGEST where one export is
// looked at, EXPORT=SEQ:DIGEST elsewhere.
func parseHeads(texts, exports []string) ([]snapshot.Head, error) {
	var heads []snapshot.Head
	for _, text := range texts {
		export, rest, named := strings.Cut(text, "=")
		if !named {
			if len(exports) != 1 {
				return nil, fmt.Errorf("--head %s: say which export's it is, as EXPORT=SEQUENCE:DIGEST", term.Word(text))
			}
			export, rest = exports[0], text
		}
		number, digest, _ := strings.Cut(rest, ":")
		sequence, err := strconv.Atoi(number)
		digest = strings.ToLower(digest)
		if err != nil || sequence < 1 || !headDigest.MatchString(digest) {
			return nil, fmt.Errorf("--head %s: must be SEQUENCE:DIGEST, as `oktasync status --heads` prints it", term.Word(text))
		}
		heads = append(heads, snapshot.Head{Export: export, Sequence: sequence, Digest: digest})
	}
	return heads, nil
}
