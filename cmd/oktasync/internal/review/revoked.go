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
	list    []*fate
	byKey   map[[16]byte]*fate
	objects map[string]bool // their apps and groups
}

// A fate is what has become of a revoked item in later snapshots.
type fate struct {
	Finding
	gone  string // the first snapshot without it
	again string // the first one after that with it
	last  string // the last one with it
}

func newRevoked() *revoked {
	return &revoked{byKey: make(map[[16]byte]*fate), objects: make(map[string]bool)}
}

func (r *revoked) add(i item, f Finding) {
	key := hash(i.key)
	if r.byKey[key] != nil {
		return // another entitlement of the item
	}
	r.byKey[key] = &fate{Finding: f}
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
		case !present && f.gone == "":
			f.gone = name
		case present && f.gone != "" && f.again == "":
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
func (f *fate) set(later []*snapshot.Snapshot) {
	if len(later) == 0 {
		f.Kind, f.Note, f.Problem = pending, true, "revoked; there is no later snapshot yet"
		return
	}
	newest := later[len(later)-1].Name()
	switch {
	case f.again != "" && f.last == newest:
		f.Kind, f.Problem = grantedAgain, fmt.Sprintf("revoked; not in %s, and again in %s", f.gone, f.again)
	case f.again != "":
		f.Kind, f.Problem = grantedAgain, fmt.Sprintf("revoked; not in %s, again in %s, last in %s", f.gone, f.again, f.last)
	case f.gone == "":
		f.Kind, f.Problem = stillPresent, "revoked, but still in "+newest
	default:
		f.Kind, f.Note, f.Problem = gone, true, "revoked; first not in "+f.gone
	}
}
