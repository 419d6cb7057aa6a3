package verify

import (
	"errors"
	"io/fs"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/timestamp"
)

// checkTimestamps compares the time stamps with the covered lines of the journal, and
// verifies them with the certificates of the authorities.
func (v *verifier) checkTimestamps(c *chain) error {
	journaled := make(map[string]string)
	for _, e := range c.ledger.Events() {
		if e.Event == snapshot.EventPublished {
			journaled[e.Snapshot] = e.TimestampSHA256
		}
	}
	stamps := make([]time.Time, len(c.links))
	for i, snap := range c.links {
		stamp, err := snap.Timestamp()
		digest := journaled[snap.Name()]
		if snapshot.IsSystemError(err) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, snapshot.ErrNotPlain) {
			return err
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && digest == "":
		case err != nil:
			v.add(snap.finding(snapshot.TimestampFile, "%s", snapshot.ProblemOf(err)))
		case snapshot.DigestOf(stamp) != digest:
			v.add(snap.finding(snapshot.TimestampFile, "is not the one that the journal names (its SHA-256 is %s)", snapshot.DigestOf(stamp)))
		case v.authorities != nil:
			message, err := snap.Stamped()
			if err == nil {
				stamps[i], err = timestamp.Verify(stamp, message, v.authorities)
			}
			if err != nil {
				v.add(snap.finding(snapshot.TimestampFile, "%v", err))
			}
		}
	}
	proofs := existed(c.links, stamps)
	v.sum.Existed = append(v.sum.Existed, proofs...)
	if n := len(proofs); v.authorities != nil && n < len(c.links) {
		v.add(Finding{Export: c.export, Snapshot: c.links[n].Name(), Note: true,
			Problem: "no time stamp proves when this snapshot existed, or a later one"})
	}
	return nil
}

// existed returns the earliest stamp for each of links, oldest first. The zero time is
// no stamp.
func existed(links []*link, stamps []time.Time) []Existed {
	proofs := make([]Existed, len(links))
	var earliest Existed
	for i := len(links) - 1; i >= 0; i-- {
		if t := stamps[i]; !t.IsZero() && (earliest.Stamp == "" || t.Before(earliest.By)) {
			earliest = Existed{By: t, Stamp: links[i].Name()}
		}
		proofs[i] = earliest
		proofs[i].Export, proofs[i].Snapshot = links[i].Manifest.Export, links[i].Name()
	}
	n := len(proofs)
	for n > 0 && proofs[n-1].Stamp == "" {
		n-- // newer than the last stamp
	}
	return proofs[:n]
}
