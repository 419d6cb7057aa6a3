package verify

import (
	"errors"
	"fmt"

	"oktasync/reconcile/snapshot"
)

// readJournal checks the chain of the journal's lines up to the checkpoint. It reports
// the first line that is wrong, because what follows it proves nothing until a line
// adopted has its digest. In c.digests, it sets the digests of the lines that have an entry.
func (c *chain) readJournal() error {
	covered := 0
	if c.checkpoint != nil {
		covered = c.checkpoint.Lines
	}
	wrong, bytes := false, int64(0)
	_, err := snapshot.ReadJournal(c.store.Path(c.export, snapshot.JournalFile), func(line []byte) error {
		c.all.Write(line)
		if c.lines++; c.lines > covered {
			return nil // checkCovered checks them
		}
		bytes += int64(len(line))
		broken := c.ledger.Broken
		err := c.addLine(line)
		if err != nil && (!wrong || errors.Is(err, snapshot.ErrAdopted)) {
			c.find(Finding{File: snapshot.JournalFile, Problem: fmt.Sprintf("line %d %v (SHA-256 of line %[1]d: %[3]s)", c.lines, err, snapshot.DigestOf(line))})
		}
		wrong = wrong || err != nil
		if broken && !c.ledger.Broken { // the line adopts those before it
			wrong = false
		}
		if _, ok := c.digests[c.lines]; ok {
			c.digests[c.lines] = c.ledger.Last
		}
		return nil
	})
	if errors.Is(err, snapshot.ErrNotPlain) || errors.Is(err, snapshot.ErrLongLine) {
		c.find(Finding{File: snapshot.JournalFile, Problem: snapshot.ProblemOf(err)})
		err = nil
	}
	if cp := c.checkpoint; err == nil && cp != nil && (c.lines < covered || c.ledger.Last != cp.LineSHA256 || bytes != cp.Bytes) {
		c.wrongJournal = true
		c.ledger = snapshot.Ledger{} // nothing is covered
		c.find(Finding{File: snapshot.JournalFile, Problem: fmt.Sprintf("line %d is not the one that the checkpoint covers", covered)})
	}
	return err
}

// journalDigest returns the digest of all lines, or "" without a journal.
func (c *chain) journalDigest() string {
	if !c.hasJournal {
		return ""
	}
	return c.all.String()
}

// addLine adds a covered line to the ledger.
func (c *chain) addLine(line []byte) error {
	err := c.ledger.Add(line)
	e, parseErr := snapshot.ParseEvent(line)
	if parseErr == nil && e.Export != c.export {
		err = fmt.Errorf("belongs to the export %q", e.Export)
	}
	if e.Time.After(c.lastTime) {
		c.lastTime = e.Time.Time
	}
	return err
}

// checkNamed reports the first line that a manifest names and that isn't there.
func (c *chain) checkNamed() {
	for _, snap := range c.links {
		j := snap.Manifest.Journal
		if j.Lines > 0 && c.digests[j.Lines] != j.SHA256 {
			c.find(Finding{File: snapshot.JournalFile, Problem: fmt.Sprintf("line %d is not the line that the manifest of %s names", j.Lines, snap.Name())})
			return
		}
	}
}
