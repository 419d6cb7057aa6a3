package review

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"

	"oktasync/reconcile/snapshot"
)

// revoked contains the revoked items.
type revoked struct {
	list    []*revocation
	byKey   map[[16]byte]*revocation
	objects map[string]bool // their apps and groups
}

// A revocation says whether later snapshots have a revoked item.
type revocation struct {
	Finding
	absent string // the first snapshot without it
	again  string // the first one after that with it
	last   string // the last one with it
}

func newRevoked() *revoked {
	return &revoked{byKey: make(map[[16]byte]*revocation), objects: make(map[string]bool)}
}

func (r *revoked) add(i item, f Finding) {
	key := hash(i.key)
	if r.byKey[key] != nil {
		return // another entitlement of the item
	}
	r.byKey[key] = &revocation{Finding: f}
	r.list = append(r.list, r.byKey[key])
	if i.object != "" {
		r.objects[i.object] = true
	}
}

// ids returns the ids of the apps and groups of the items.
func (r *revoked) ids() []string { return slices.Sorted(maps.Keys(r.objects)) }

// follow takes a later snapshot with these items into account.
func (r *revoked) follow(ctx context.Context, items iter.Seq2[item, error], name string) error {
	for item, err := range items {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if f := r.byKey[hash(item.key)]; f != nil {
			f.last = name
		}
	}
	for _, f := range r.list {
		switch present := f.last == name; {
		case !present && f.absent == "":
			f.absent = name
		case present && f.absent != "" && f.again == "":
			f.again = name
		}
	}
	return nil
}

// hash returns a short digest of a key.
func hash(key string) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:])
}

// set sets the kind and the problem of the finding.
func (f *revocation) set(later []*snapshot.Snapshot) {
	if len(later) == 0 {
		f.Kind, f.Note, f.Problem = pending, true, "revoked; there is no later snapshot yet"
		return
	}
	newest := later[len(later)-1].Name()
	switch {
	case f.again != "" && f.last == newest:
		f.Kind, f.Problem = grantedAgain, fmt.Sprintf("revoked; not in %s, and again in %s", f.absent, f.again)
	case f.again != "":
		f.Kind, f.Problem = grantedAgain, fmt.Sprintf("revoked; not in %s, again in %s, last in %s", f.absent, f.again, f.last)
	case f.absent == "":
		f.Kind, f.Problem = stillPresent, "revoked, but still in "+newest
	default:
		f.Kind, f.Note, f.Problem = gone, true, "revoked; first not in "+f.absent
	}
}
