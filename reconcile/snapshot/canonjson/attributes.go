package canonjson

import (
	"bytes"
	"slices"
	"strings"
)

// Attributes selects the attributes of a record that are kept. A path consists
// of member names joined by dots, and covers everything below it: "profile"
// also selects "profile.email". Elements of a list have no paths; a list is kept
// or removed as a whole.
type Attributes struct {
	Include []string `json:"include"` // empty: everything
	Exclude []string `json:"exclude"` // removed from what Include selects
}

// Equal reports whether a and b have the same paths in the same order.
func (a Attributes) Equal(b Attributes) bool {
	return slices.Equal(a.Include, b.Include) && slices.Equal(a.Exclude, b.Exclude)
}

// Keeps reports whether the value at path is kept. The paths in always are kept
// even if a excludes them.
func (a Attributes) Keeps(path string, always []string) bool {
	return slices.Contains(always, path) ||
		!CoversAny(a.Exclude, path) && (len(a.Include) == 0 || CoversAny(a.Include, path))
}

// Covers reports whether path equals covering or is below it.
func Covers(covering, path string) bool {
	rest, ok := strings.CutPrefix(path, covering)
	return ok && (rest == "" || rest[0] == '.')
}

// CoversAny reports whether one of covering covers path.
func CoversAny(covering []string, path string) bool {
	return slices.ContainsFunc(covering, func(c string) bool { return Covers(c, path) })
}

// A Projector reduces records to the selected attributes. It isn't safe for
// concurrent use.
type Projector struct {
	attrs  Attributes
	always []string
	rules  map[string]rule
	path   []byte // of the current member, or, with a dot at its end, of the object
}

// A rule decides about a path. A path without a rule follows the rule of its object.
type rule struct {
	keep  bool
	mixed bool // a path below has its own rule
}

// Projector returns a Projector that applies a, and always keeps the paths in always.
func (a Attributes) Projector(always []string) *Projector {
	p := &Projector{attrs: a, always: always, rules: make(map[string]rule)}
	for _, path := range slices.Concat(always, a.Include, a.Exclude) {
		p.rules[path] = rule{keep: a.Keeps(path, always), mixed: p.rules[path].mixed}
		for dot := strings.LastIndexByte(path, '.'); dot > 0; dot = strings.LastIndexByte(path, '.') {
			path = path[:dot]
			p.rules[path] = rule{keep: a.Keeps(path, always), mixed: true}
		}
	}
	return p
}

// Project appends the selected attributes of record, an object in canonical
// form, to dst. The result is canonical too. If Project fails, it returns dst
// unchanged.
func (p *Projector) Project(dst, record []byte) ([]byte, error) {
	everything := len(p.attrs.Include) == 0
	if everything && len(p.attrs.Exclude) == 0 {
		return append(dst, record...), nil
	}
	p.path = p.path[:0]
	out, err := p.object(dst, record, everything)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// object appends the selected members of an object whose path, with a dot at its
// end, is p.path. keep decides about members without a rule.
func (p *Projector) object(dst, object []byte, keep bool) ([]byte, error) {
	dst = append(dst, '{')
	first, prefix := len(dst), len(p.path)
	m := MembersOf(object)
	for m.Next() {
		r := p.rule(prefix, m.Name, keep)
		descend := r.mixed && IsObject(m.Value)
		if !r.keep && !descend {
			continue
		}
		before := len(dst)
		if before > first {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), m.Name...), `":`...)
		if !descend {
			dst = append(dst, m.Value...)
			continue
		}
		value := len(dst)
		var err error
		p.path = append(p.path, '.')
		if dst, err = p.object(dst, m.Value, r.keep); err != nil {
			return dst, err
		}
		if !r.keep && len(dst) == value+len("{}") {
			dst = dst[:before] // no member of it is selected
		}
	}
	p.path = p.path[:prefix]
	return append(dst, '}'), m.Err
}

// rule sets p.path to the path of the member name, and returns its rule.
func (p *Projector) rule(prefix int, name []byte, keep bool) rule {
	p.path = AppendText(p.path[:prefix], name)
	r, ok := p.rules[string(p.path)]
	switch {
	case ok:
		return r
	case bytes.IndexByte(name, '.') < 0:
		return rule{keep: keep}
	}
	// The name contains a dot, so the path may be below the path of another member.
	r.keep = p.attrs.Keeps(string(p.path), p.always)
	for path := range p.rules {
		r.mixed = r.mixed || Covers(string(p.path), path)
	}
	return r
}
