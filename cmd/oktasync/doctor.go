package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/reconcile/snapshot"
)

func (a *app) doctorCommand() *cobra.Command {
	x := examination{app: a}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the live setup step by step, with what to change for each failure",
		Long: `Checks what a snapshot rests on, in the order in which one thing needs the other:
configuration, keys, network, the service app in Okta, what it may see, the store.
For each failure it says what to change and where. What depends on a failure is
not checked, so that the cause is named and not what follows from it.

Nothing is changed in Okta, published, or left in the store. Tokens are got and
forgotten: one as the configuration asks for it, and one to see which further
scopes the app has been granted.

--key FILE proves a new client key before the old one is given up: it is used in
place of okta.private_key_file, with the kid that init prints for it.`,
		Example: `  oktasync doctor
  oktasync doctor --key new-client-key.pem
  oktasync doctor --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), &x, asJSON) },
	}
	cmd.Flags().StringVar(&x.newKey, "key", "", "prove the client key in `FILE` instead of okta.private_key_file")
	cmd.Flags().IntVar(&x.people, "people", 0, "how many people the Admin Console shows, to see whether the app sees all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// A finding is what came of a check: the shape of `doctor --json`, described in
// docs/doctor.md.
type finding struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Seen   string `json:"seen"`
	Where  string `json:"where"`  // the remedy is to be done; "" where there is none, or only to wait
	Remedy string `json:"remedy"` // "" where nothing is to be done
}

// The statuses of a finding.
const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkFailed  = "failed"
	checkSkipped = "skipped"
)

// Where a remedy is to be done.
const (
	inConfig = "config"
	inOkta   = "okta"
	onHost   = "host"
)

// places are the same for people.
var places = map[string]string{
	inConfig: "in the configuration: ", inOkta: "in Okta's Admin Console: ", onHost: "on this host: ",
}

func ok(format string, args ...any) finding {
	return finding{Status: checkOK, Seen: fmt.Sprintf(format, args...)}
}

func warning(where, remedy, format string, args ...any) finding {
	return finding{Status: checkWarning, Where: where, Remedy: remedy, Seen: fmt.Sprintf(format, args...)}
}

func failed(where, remedy, format string, args ...any) finding {
	return finding{Status: checkFailed, Where: where, Remedy: remedy, Seen: fmt.Sprintf(format, args...)}
}

// skipped is for a check that another one's answer leaves nothing to.
func skipped(cause string) finding {
	return finding{Status: checkSkipped, Seen: "not checked: " + cause}
}

// A check is one line of doctor. It is skipped where one that it needs, itself or
// by others, has failed.
type check struct {
	id    string
	needs []string
	run   func(context.Context, *examination) finding
}

// checklist is every check, in the order in which one thing needs the other.
// The ids are stable: scripts go by them.
var checklist = []check{
	{"config", nil, checkConfig},
	{"client_key", []string{"config"}, checkClientKey},
	{"dpop_key", []string{"config", "client_key"}, checkDPoPKey},
	{"proxy", []string{"config"}, checkProxy},
	{"dns", []string{"proxy"}, checkDNS},
	{"tcp", []string{"dns"}, checkTCP},
	{"tls", []string{"tcp"}, checkTLS},
	{"clock", []string{"tls"}, checkClock},
	{"org", []string{"clock"}, checkOrg},
	{"token_endpoint", []string{"org", "client_key", "dpop_key"}, checkTokenEndpoint},
	{"network_zone", []string{"token_endpoint"}, checkNetworkZone},
	{"client_id", []string{"network_zone"}, checkClientID},
	{"key_known", []string{"client_id"}, checkKeyKnown},
	{"dpop", []string{"key_known"}, checkDPoP},
	{"nonce", []string{"dpop"}, checkNonce},
	{"scopes", []string{"nonce"}, checkScopes},
	{"extra_scopes", []string{"scopes"}, checkExtraScopes},
	{"api", []string{"scopes"}, checkAPI},
	{"rate_limit", []string{"api"}, checkRateLimit},
	{"role", []string{"rate_limit"}, checkRole},
	{"reading", []string{"role"}, checkReading},
	{"store", []string{"config"}, checkStore},
	{"space", []string{"store"}, checkSpace},
	{"signing_key", []string{"config"}, checkSigningKey},
	{"allowed_signers", []string{"signing_key"}, checkAllowedSigners},
}

// examination is what the checks have in common: what doctor was asked, and what
// the checks before have found.
type examination struct {
	app    *app
	newKey string // --key
	people int    // --people; 0: not said

	cfg       *config.Config
	log       *slog.Logger
	clientKey *keys.Key
	dpopKey   *keys.Key // nil: one in memory
	base      *http.Transport

	met      *meeting // the first request; see meet
	admitted *admission
	list     *userPage // the first page of users
	users    userCount
	signer   *snapshot.Signer // nil: none
}

func (a *app) doctor(ctx context.Context, x *examination, asJSON bool) error {
	if x.people < 0 {
		return fmt.Errorf("--people %d: must not be negative", x.people)
	}
	defer x.close()
	findings := make([]finding, 0, len(checklist))
	causes := map[string]string{} // of what is not to be checked: the check that failed
	failures := 0
	for _, c := range checklist {
		f := x.examine(ctx, c, causes)
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Status == checkFailed {
			causes[c.id] = c.id
			failures++
		}
		findings = append(findings, f)
		if !asJSON {
			a.printFinding(f)
		}
	}
	if asJSON {
		if err := writeJSON(a.stdout, findings); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "\n%s\n", verdict(findings))
	}
	if failures > 0 {
		return exitError{exitFailed}
	}
	return nil
}

// examine runs a check, or says why not.
func (x *examination) examine(ctx context.Context, c check, causes map[string]string) finding {
	for _, need := range c.needs {
		if cause := causes[need]; cause != "" {
			causes[c.id] = cause
			f := skipped(cause + " has to be right first")
			f.ID = c.id
			return f
		}
	}
	f := c.run(ctx, x)
	f.ID = c.id
	if x.cfg != nil {
		f.Remedy = x.cfg.Rename(f.Remedy)
	}
	return f
}

// marks show a status in text, and in colour where there is a terminal.
var marks = map[string]struct{ text, colour string }{
	checkOK: {"ok", "32"}, checkWarning: {"warning", "33"}, checkFailed: {"FAILED", "31"}, checkSkipped: {"-", "2"},
}

// printFinding is one line, and for what is not right one more with the remedy.
// A terminal gets lines that fit: what wraps by itself starts at the edge, among
// the marks.
func (a *app) printFinding(f finding) {
	mark := fmt.Sprintf("%-8s", marks[f.Status].text)
	if a.colour(a.stdout) {
		mark = "\x1b[" + marks[f.Status].colour + "m" + mark + "\x1b[0m"
	}
	text := term.SafeLines(f.Seen)
	if f.Remedy != "" {
		text += "\n" + places[f.Where] + term.SafeLines(f.Remedy)
	}
	text, below := besideMarks(text, term.Columns(a.stdout))
	if below {
		fmt.Fprintf(a.stdout, "%s  %s\n%s\n", mark, f.ID, text)
	} else {
		fmt.Fprintf(a.stdout, "%s  %-16s%s\n", mark, f.ID, text)
	}
}

// besideMarks sets a finding's text in lines that leave a margin for marks and
// ids, and end before the last of so many columns; 0: wherever they like. Where
// too few columns are left, the text has to begin below.
func besideMarks(text string, columns int) (lines string, below bool) {
	const margin, least = 26, 30
	indent := margin
	if columns > 0 {
		if below = columns-margin < least; below {
			indent = 4
		}
		text = linesOf(text, max(columns-1-indent, 1))
	}
	blank := strings.Repeat(" ", indent)
	text = strings.ReplaceAll(text, "\n", "\n"+blank)
	if below {
		text = blank + text
	}
	return text, below
}

// linesOf is inLines for a text of several lines.
func linesOf(text string, most int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = term.Wrap(strings.Fields(line), most)
	}
	return strings.Join(lines, "\n")
}

// verdict sums up.
func verdict(findings []finding) string {
	count := map[string]int{}
	for _, f := range findings {
		count[f.Status]++
	}
	text := "nothing failed"
	if n := count[checkFailed]; n > 0 {
		text = term.Plural(n, "check") + " failed"
	} else if count[checkOK] == len(findings) {
		return "all is well"
	}
	if n := count[checkWarning]; n > 0 {
		text += ", " + term.Plural(n, "warning")
	}
	if n := count[checkSkipped]; n > 0 {
		text += fmt.Sprintf(", %d not checked", n)
	}
	return text
}

// checkConfig reads the configuration.
func checkConfig(_ context.Context, x *examination) finding {
	cfg, level, err := x.app.config()
	if err == nil {
		err = checkDaemonFiles(cfg)
	}
	if err != nil {
		return failed(inConfig, cmp.Or(hintFor(err), "correct it; `oktasync validate` looks at it without a network"), "%v", err)
	}
	x.cfg, x.log = cfg, slog.New(slog.DiscardHandler) // what the log would tell, the findings do
	if x.app.logLevel != "" {
		x.log = newLogger(x.app.stderr, level, cfg.Log.Format, x.app.colour(x.app.stderr))
	}
	return ok("%s is valid: %s", cmp.Or(cfg.File, "the environment"), term.Plural(len(cfg.Exports), "export"))
}

func (x *examination) close() {
	if x.base != nil {
		x.base.CloseIdleConnections()
	}
}

// readAll reads an answer's body, and no more of it than an answer can have.
func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}

const maxAnswer = 16 << 20
