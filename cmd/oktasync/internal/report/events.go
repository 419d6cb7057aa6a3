package report

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// A period is the time between two snapshots of an export.
type period struct {
	o         *Options
	links     links
	snapshots []*snapshot.Snapshot // after o.From, oldest first, also pruned ones
	broken    bool                 // not all snapshots after o.From are there
}

func newPeriod(o *Options) (*period, error) {
	chain, err := o.Store.Chain(o.Snapshot)
	if err != nil {
		return nil, err
	}
	p := &period{o: o, links: linksOf(o.Snapshot.Manifest.Org.URL)}
	p.broken = !slices.ContainsFunc(chain, func(s *snapshot.Snapshot) bool { return s.Digest == o.From.Digest })
	p.snapshots = slices.DeleteFunc(chain, func(s *snapshot.Snapshot) bool { return s.Manifest.Sequence <= o.From.Manifest.Sequence })
	return p, nil
}

// An event is a change of a record, and the snapshot whose read saw it.
type event struct {
	*diff.Change
	resource *snapshot.Resource
	seen     *snapshot.Snapshot
}

// key identifies the event in each report.
func (e *event) key() string {
	key := e.resource.Name
	for _, name := range e.resource.Key {
		key += "/" + e.Key[name]
	}
	return key + "/" + string(e.Kind) + "/" + e.seen.Name()
}

// events returns the events of resources: those of one snapshot after those of the one
// before. gaps describes the changes files of pruned snapshots that weren't kept.
func (p *period) events(wanted func(line []byte) bool, resources ...*snapshot.Resource) iter.Seq2[*event, error] {
	return func(yield func(*event, error) bool) {
		for _, s := range p.snapshots {
			for _, r := range resources {
				for c, err := range s.EachChange(r, wanted) {
					if errors.Is(err, fs.ErrNotExist) && s.Erased() {
						break
					}
					if !yield(&event{c, r, s}, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// removals accepts the lines of removed records, and few others.
func removals(line []byte) bool { return bytes.Contains(line, []byte(`"op":"removed"`)) }

// otherThanChanged accepts the lines of users, except those of the kind changed, which
// sections don't list.
func otherThanChanged(line []byte) bool {
	kind, err := canonjson.Find(line, "kind")
	return err != nil || string(kind) != `"changed"`
}

// A gap is a reason why a snapshot has no changes file of a resource.
type gap string

const (
	noGap       gap = ""
	notDeclared gap = "%s: not declared in %s. Changes from then until its next read aren't listed."
	notRead     gap = "%s: not read in %s. The changes file of its next read also contains the changes in between."
	notCompared gap = "%s: not compared in %s, because the snapshot before has none."
	reset       gap = "%s: not compared in %s, because other records were declared or the previous records were erased."
	notKept     gap = "%s: the changes file of %s wasn't kept."
)

func gapOf(s *snapshot.Snapshot, r *snapshot.Resource) gap {
	counts, declared := s.Manifest.Resources[r.Name]
	switch {
	case !declared:
		return notDeclared
	case !counts.IsAvailable():
		return notRead
	case counts.Base == snapshot.BaseNone:
		return notCompared
	case counts.Base == snapshot.BaseReset:
		return reset
	}
	if _, err := os.Lstat(filepath.Join(s.Dir(), r.ChangesFile())); errors.Is(err, fs.ErrNotExist) {
		return notKept
	}
	return noGap
}

// gaps returns a sentence for each reason why events of resources are missing.
func (p *period) gaps(resources ...*snapshot.Resource) (text []string) {
	if p.broken {
		text = append(text, p.brokenText())
	}
	for _, r := range resources {
		if gapOf(p.o.From, r) == notRead {
			text = append(text, fmt.Sprintf("%s: not read in %s, so the first changes can be from before the period.", r.Name, p.o.From.Name()))
		}
		names := make(map[gap][]string)
		for _, s := range p.snapshots {
			reason := gapOf(s, r)
			names[reason] = append(names[reason], s.Name())
		}
		for _, reason := range []gap{notDeclared, notRead, notCompared, reset, notKept} {
			if list := names[reason]; len(list) == 1 {
				text = append(text, fmt.Sprintf(string(reason), r.Name, list[0]))
			} else if len(list) > 1 {
				text = append(text, fmt.Sprintf(string(reason), r.Name, fmt.Sprintf("%d snapshots (%s)", len(list), Span(list))))
			}
		}
	}
	return text
}

func (p *period) brokenText() string {
	return fmt.Sprintf("The manifests between %s and %s are missing or changed, so their changes aren't listed.", p.o.From.Name(), p.snapshots[0].Name())
}

// missing returns why there are no events of resources, or "" if a snapshot of the period
// records one of them.
func (p *period) missing(resources ...*snapshot.Resource) string {
	text := "Not recorded:"
	for i, r := range resources {
		if slices.ContainsFunc(p.snapshots, func(s *snapshot.Snapshot) bool { return slices.Contains(s.Recorded(), r) }) {
			return ""
		}
		if i > 0 {
			text += ","
		}
		text += " " + r.Name
	}
	return text + "."
}

// names returns the names of the ends of edges and of the holders of roles in the events
// of resources, as in the last snapshot that has them.
func (p *period) names(resources ...*snapshot.Resource) (Names, error) {
	names := make(Names)
	for e, err := range p.events(nil, resources...) {
		if err != nil {
			return nil, err
		}
		names.Add(e.resource, e.Change)
	}
	if err := names.ReadFrom(p.o.Snapshot); err != nil {
		return nil, err
	}
	for e, err := range p.events(removals, snapshot.Users, snapshot.Groups, snapshot.Apps) {
		if err != nil {
			return nil, err
		}
		if name, wanted := names[e.resource][e.ID()]; wanted && name == "" && e.Op == diff.OpRemoved {
			names[e.resource][e.ID()] = e.Label()
		}
	}
	return names, names.ReadFrom(p.o.From)
}
