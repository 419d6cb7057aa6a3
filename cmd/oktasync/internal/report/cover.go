package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
	"oktasync/reconcile/snapshot/timestamp"
)

// Check returns an error unless the checkpoint covers the snapshots of o, and their
// signatures verify. A snapshot that isn't signed is accepted, because the cover states it.
// The caller has checked the checkpoint.
func Check(o *Options) error {
	snapshots := []*snapshot.Snapshot{o.Snapshot}
	if o.From != nil {
		snapshots = append(snapshots, o.From)
	}
	export := o.Snapshot.Manifest.Export
	if err := o.Store.CheckCovered(export, snapshots...); err != nil {
		return fmt.Errorf("read %s: %w", export, err)
	}
	for _, s := range snapshots {
		if _, err := signer(o, s); err != nil {
			return fmt.Errorf("%s@%s: the signature %w", export, s.Name(), err)
		}
	}
	return nil
}

// signer returns the allowed signer of s, or "" if s isn't signed or no signers are
// configured. An invalid signature is an error.
func signer(o *Options, s *snapshot.Snapshot) (principal string, err error) {
	if s.Manifest.SignedBy == nil {
		return "", nil
	}
	key, err := s.Signer()
	if err != nil || o.Signers == nil {
		return "", err
	}
	return o.Signers.Check(key, sign.Snapshot, s.Manifest.Signed.Time)
}

// Cover returns the facts of the cover.
func Cover(o *Options) ([]document.Fact, error) {
	m := &o.Snapshot.Manifest
	c := &coverText{o: o, m: m}
	c.add("Okta listing", fmt.Sprintf("%s, export %s, snapshot %s, sequence %d", org(m), m.Export, m.Snapshot, m.Sequence))
	c.selection()
	c.add("What is listed", "Lists every record that Okta returned for the query below. Okta has no frozen view: a change during the read may appear as before or after.")
	c.reading()
	c.add("Control total", controlText(m)...)
	c.add("Not recorded", strings.Join(unrecorded(m), "; "))
	c.add("Narrowing", narrowing(m.Declared))
	gaps, err := longGaps(o)
	if err != nil {
		return nil, err
	}
	c.add("Gaps", gaps...)
	if err := c.evidence(); err != nil {
		return nil, err
	}
	c.add("Query", Query(m.Declared))
	if err := c.counts(); err != nil {
		return nil, err
	}
	return c.facts, c.origin()
}

// coverText collects the facts of the cover.
type coverText struct {
	o     *Options
	m     *snapshot.Manifest
	facts []document.Fact
}

// add adds a fact, if it has a text.
func (c *coverText) add(name string, text ...string) {
	text = slices.DeleteFunc(text, func(s string) bool { return s == "" })
	if len(text) > 0 {
		c.facts = append(c.facts, document.Fact{Name: name, Text: text})
	}
}

func org(m *snapshot.Manifest) string {
	host := strings.TrimPrefix(m.Org.URL, "https://")
	if m.Org.ID != "" {
		host += " (" + m.Org.ID + ")"
	}
	return host
}

// selection adds what the user selected, and the reads that the report uses.
func (c *coverText) selection() {
	if c.o.From == nil {
		c.add("Requested", c.o.Asked.Text)
		c.add("Source", c.source(c.o.Snapshot, c.o.Asked))
		return
	}
	c.add("Requested", "the changes from "+c.o.AskedFrom.Text+" to "+c.o.Asked.Text+", and the state at the end")
	c.add("Start of the period", c.o.From.Name()+": "+c.source(c.o.From, c.o.AskedFrom))
	c.add("End of the period", c.o.Snapshot.Name()+": "+c.source(c.o.Snapshot, c.o.Asked))
}

// source describes the read of s, and how long before the selected time it began.
func (c *coverText) source(s *snapshot.Snapshot, asked Asked) string {
	read := s.Manifest.Read
	from, to := read.Started.In(c.o.Zone), read.Finished.In(c.o.Zone)
	text := "a read on " + from.Format(day) + " from " + from.Format(time.TimeOnly) + " to "
	if from.Format(day) != to.Format(day) {
		text += to.Format(day) + " "
	}
	text += to.Format(time.TimeOnly) + " (" + c.o.Zone.String() + ")"
	switch {
	case asked.Time.IsZero():
		return text
	case asked.Time.After(c.o.Generated):
		return text + ", " + Distance(c.o.Generated.Sub(from)) + " before this report was generated"
	}
	return text + ", " + Distance(max(asked.Time.Sub(from), 0)) + " earlier"
}

// reading adds what the read left out.
func (c *coverText) reading() {
	var text []string
	if counts := c.m.Resources[snapshot.GroupMembers.Name]; counts.CarriedSince != nil {
		text = append(text, fmt.Sprintf("%s (%.1f %%), the oldest read on %s; Okta reported no change of their groups; they were not checked individually.",
			plural(snapshot.GroupMembers, counts.Carried), 100*float64(counts.Carried)/float64(max(counts.Total, 1)), c.o.text(counts.CarriedSince.Time)))
	}
	for _, r := range c.m.Unavailable() {
		text = append(text, r.Name+": "+c.m.Resources[r.Name].Reason)
	}
	if !c.m.Read.Settled {
		text = append(text, "Not settled: "+Unsettled+".")
	}
	if len(text) == 0 {
		text = []string{"none"}
	}
	c.add("Not read in this run", text...)
}

// plural returns a number of records: "41,200 group members".
func plural(r *snapshot.Resource, n int) string {
	_, noun, _ := strings.Cut(r.Plural(n), " ")
	return term.Grouped(n) + " " + noun
}

// controlText compares the numbers of members with those that Okta reports.
func controlText(m *snapshot.Manifest) []string {
	c := m.Control
	if c == nil {
		return []string{"none: nothing was compared with the numbers of members that Okta reports"}
	}
	compare := func(what string, t snapshot.Total, noun string) string {
		return fmt.Sprintf("%s: Okta reports %s members, and %s %s were read; difference %s.",
			what, term.Grouped(t.Okta), term.Grouped(t.Counted), noun, term.Grouped(t.Counted-t.Okta))
	}
	var text []string
	if c.Everyone != nil {
		text = append(text, compare(`The group "Everyone"`, *c.Everyone, "users"))
	}
	if g := c.Groups; g != nil {
		text = append(text, compare(plural(snapshot.Groups, g.Compared), snapshot.Total{Okta: g.Okta, Counted: g.Counted}, "members"))
	}
	if why := Unreconciled(c); why != "" {
		return append(text, "Not reconciled: "+why+".")
	}
	if e, g := c.Everyone, c.Groups; e != nil && e.Okta != e.Counted || g != nil && len(g.Different) > 0 {
		text = append(text, "Changes during the read explain each difference.")
	}
	return text
}

// unrecorded lists what the snapshot doesn't show.
func unrecorded(m *snapshot.Manifest) []string {
	list := []string{"permissions inside applications", "sign-in policies"}
	for _, r := range snapshot.Resources() {
		if _, declared := m.Resources[r.Name]; !declared {
			list = append(list, r.Noun+"s")
		}
	}
	return list
}

// narrowing returns what the declaration leaves out of the listed resources.
func narrowing(d snapshot.Declaration) string {
	var parts []string
	for _, r := range snapshot.Resources() {
		declared := d.Resources[r.Name]
		if n := declared.Narrowing; n != nil && n.Search != "" {
			parts = append(parts, "only the "+r.Name+" that match "+n.Search)
		}
		if n := declared.Narrowing; n != nil && !n.IncludeDeprovisioned {
			parts = append(parts, "deprovisioned "+r.Name+" are left out")
		}
		if a := declared.Attributes; len(a.Include) > 0 {
			parts = append(parts, "only "+term.Plural(len(a.Include), "attribute")+" of "+r.Name)
		}
	}
	return cmp.Or(strings.Join(parts, "; "), "none")
}

// evidence adds the signature, adoptions and overrides of the guard.
func (c *coverText) evidence() error {
	principal, err := signer(c.o, c.o.Snapshot)
	if err != nil {
		return err
	}
	const limit = "It doesn't show that Okta's answers were right, that access was approved, or that anybody reviewed it."
	switch {
	case c.m.SignedBy == nil:
		c.add("Signature", "The snapshot isn't signed. Its digests don't show whether a person with access to the store has replaced all of it.",
			"They don't show that Okta's answers were right, that access was approved, or that anybody reviewed it.")
	case principal == "":
		c.add("Signature", "Signed by "+*c.m.SignedBy+"; no allowed signers are configured, so compare it with the fingerprint that you obtained independently.",
			"This shows that the files are unchanged since signing. "+limit)
	default:
		c.add("Signature", "Signed by "+*c.m.SignedBy+", which the configured allowed signers accept ("+principal+"); compare it with the fingerprint that you obtained independently.",
			"This shows that the files are unchanged since signing. "+limit)
	}
	e, err := c.o.Store.LastAdopted(c.m.Export)
	if err != nil {
		return err
	}
	if e.Event != "" {
		c.add("Adopted", fmt.Sprintf("%s accepted the export as it was on %s, with %s as its newest snapshot. Reason: %s", e.User, c.o.text(e.Time.Time), cmp.Or(e.Snapshot, "no snapshot"), e.Reason))
	}
	if by := c.m.Run.Override; by != nil {
		c.add("Guard", fmt.Sprintf("The guard stopped the read: %s. %s published it. Reason: %s", by.Guard, by.User, by.Reason))
	}
	return nil
}

// counts adds the numbers of records by status.
func (c *coverText) counts() error {
	var text []string
	for _, r := range c.m.Recorded() {
		counts := c.m.Resources[r.Name]
		line, sum := plural(r, counts.Total), 0
		for _, n := range counts.ByStatus {
			sum += n
		}
		if r.Status != "" && counts.Total > 0 {
			line += ": " + Statuses(counts.ByStatus)
			if sum != counts.Total {
				return fmt.Errorf("%s@%s: the numbers of %s by status don't add up", c.m.Export, c.m.Snapshot, r.Name)
			}
		}
		if counts.Unresolved > 0 {
			line += fmt.Sprintf("; %s of them with an id that isn't recorded", term.Grouped(counts.Unresolved))
		}
		text = append(text, line)
	}
	c.add("Records", text...)
	return nil
}

// origin adds where the snapshot and the report come from.
func (c *coverText) origin() error {
	checkpoint, err := c.o.Store.Checkpoint(c.m.Export)
	if err != nil {
		return err
	}
	stamp, err := c.stamp()
	if err != nil {
		return err
	}
	c.add("Host", fmt.Sprintf("%s, run by %s (%s)", c.m.Run.Host, c.m.Run.User, c.m.Run.Trigger))
	c.add("Digests", "manifest.json: "+c.o.Snapshot.Digest, "head of the export: "+checkpoint.Head().String())
	c.add("Time stamp", stamp)
	c.add("Generated", c.o.text(c.o.Generated))
	c.add("Prepared by", c.o.PreparedBy)
	c.add("Tool", "the read: "+toolText(c.m.Tool)+"; this report: "+toolText(c.o.Tool))
	return nil
}

// stamp describes the time stamp. A stamp that fails its check is an error.
func (c *coverText) stamp() (string, error) {
	stamp, err := c.o.Snapshot.Timestamp()
	if errors.Is(err, fs.ErrNotExist) {
		return "none", nil
	}
	if err == nil && c.o.Authorities == nil {
		return "manifest.json.tsr (RFC 3161); not checked, because no certificates of time-stamping authorities are configured", nil
	}
	var message []byte
	if err == nil {
		message, err = c.o.Snapshot.Stamped()
	}
	var at time.Time
	if err == nil {
		at, err = timestamp.Verify(stamp, message, c.o.Authorities)
	}
	if err != nil {
		return "", fmt.Errorf("%s@%s: %w", c.m.Export, c.m.Snapshot, err)
	}
	return "manifest.json.tsr (RFC 3161) of " + c.o.text(at) + ", checked with the configured authorities", nil
}
