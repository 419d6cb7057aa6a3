package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Attributes says which attributes of a user are kept. Its paths are member
// names joined by dots, and a path covers everything below it: "profile"
// stands for "profile.email" too. Elements of a list have no paths; a list is
// kept or left out whole. The attributes id and status are always kept.
type Attributes struct {
	// Include names what is kept. Empty: everything that Okta returns.
	Include []string `json:"include" yaml:"include" example:"[id, status, profile.login, profile.email]"`
	// Exclude names what is taken away from that. It touches no disk.
	Exclude []string `json:"exclude" yaml:"exclude" example:"[credentials, profile.mobilePhone]"`
}

// alwaysKept are the attributes without which a user can't be followed from
// one snapshot to the next.
var alwaysKept = []string{"id", "status"}

// Validate reports everything that is wrong with a, as *FieldError values
// joined by errors.Join.
func (a Attributes) Validate() error { return errors.Join(a.check("")...) }

// check is Validate with a prefix before the names of the fields.
func (a Attributes) check(prefix string) []error {
	errs := slices.Concat(checkPaths(prefix+"include", a.Include), checkPaths(prefix+"exclude", a.Exclude))
	wrong := func(list string, i int, format string, args ...any) {
		field := fmt.Sprintf("%s%s[%d]", prefix, list, i)
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	for i, path := range a.Exclude {
		if slices.Contains(alwaysKept, path) {
			wrong("exclude", i, "%q can't be left out: users are compared by it", path)
		}
	}
	for i, path := range a.Include {
		for _, excluded := range a.Exclude {
			switch {
			case path == excluded:
				wrong("include", i, "%q is both included and excluded", path)
			case covers(excluded, path):
				wrong("include", i, "%q is included, but excluded with all of %q", path, excluded)
			}
		}
	}
	return errs
}

// equal reports whether a and b keep the same in the same order.
func (a Attributes) equal(b Attributes) bool {
	return slices.Equal(a.Include, b.Include) && slices.Equal(a.Exclude, b.Exclude)
}

// covers reports whether path is covering or lies below it.
func covers(covering, path string) bool {
	rest, ok := strings.CutPrefix(path, covering)
	return ok && (rest == "" || rest[0] == '.')
}

// coversAny reports whether one of covering covers path.
func coversAny(covering []string, path string) bool {
	return slices.ContainsFunc(covering, func(c string) bool { return covers(c, path) })
}

// checkPaths reports what is wrong with a list of paths.
func checkPaths(field string, paths []string) []error {
	var errs []error
	for i, path := range paths {
		problem := ""
		switch _, inProfile := profileAttributes[path]; {
		case path == "":
			problem = "an empty path"
		case strings.TrimSpace(path) != path:
			problem = fmt.Sprintf("%q has spaces around it", path)
		case slices.Contains(strings.Split(path, "."), ""):
			problem = fmt.Sprintf("%q has a dot without a name beside it", path)
		case inProfile:
			problem = fmt.Sprintf("%q belongs to the profile: write %q", path, "profile."+path)
		case slices.Contains(paths[:i], path):
			problem = fmt.Sprintf("%q stands here twice", path)
		default:
			continue
		}
		errs = append(errs, &FieldError{fmt.Sprintf("%s[%d]", field, i), problem})
	}
	return errs
}

// profileAttributes are the attributes that every Okta profile can have. A
// path that is one of them, without "profile.", is a slip that would leave in
// what was to be left out.
var profileAttributes = func() map[string]struct{} {
	set := make(map[string]struct{})
	for name := range strings.FieldsSeq(`login email secondEmail firstName lastName middleName
		honorificPrefix honorificSuffix title displayName nickName profileUrl primaryPhone
		mobilePhone streetAddress city state zipCode countryCode postalAddress
		preferredLanguage locale timezone userType employeeNumber costCenter organization
		division department managerId manager`) {
		set[name] = struct{}{}
	}
	return set
}()

// A Projector cuts users down to the attributes declared. It is used by one
// goroutine at a time.
type Projector struct {
	attrs Attributes
	rules map[string]rule
	path  []byte // of the member at hand, or, with a dot after it, of the object
}

// A rule says what happens to a path. A path without a rule goes the way of
// the object that it is in.
type rule struct {
	keep  bool
	mixed bool // something below has a rule of its own
}

// Projector returns what applies a to users.
func (a Attributes) Projector() *Projector {
	p := &Projector{attrs: a, rules: make(map[string]rule)}
	for _, path := range slices.Concat(alwaysKept, a.Include, a.Exclude) {
		p.rules[path] = rule{keep: a.keeps(path), mixed: p.rules[path].mixed}
		for dot := strings.LastIndexByte(path, '.'); dot > 0; dot = strings.LastIndexByte(path, '.') {
			path = path[:dot]
			p.rules[path] = rule{keep: a.keeps(path), mixed: true}
		}
	}
	return p
}

// keeps reports whether a value at path is kept whole, but for what lies below.
func (a Attributes) keeps(path string) bool {
	return slices.Contains(alwaysKept, path) ||
		!coversAny(a.Exclude, path) && (len(a.Include) == 0 || coversAny(a.Include, path))
}

// Project appends to dst what is kept of user, an object in canonical form.
// The result is canonical too. After an error dst is returned as it was.
func (p *Projector) Project(dst, user []byte) ([]byte, error) {
	everything := len(p.attrs.Include) == 0
	if everything && len(p.attrs.Exclude) == 0 {
		return append(dst, user...), nil
	}
	p.path = p.path[:0]
	out, err := p.object(dst, user, everything)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// object appends what is kept of an object whose path, with a dot after it,
// is p.path. Members without a rule are kept if keep says so.
func (p *Projector) object(dst, object []byte, keep bool) ([]byte, error) {
	dst = append(dst, '{')
	first, prefix := len(dst), len(p.path)
	m := membersOf(object)
	for m.next() {
		r := p.rule(prefix, m.name, keep)
		descend := r.mixed && isObject(m.value)
		if !r.keep && !descend {
			continue
		}
		before := len(dst)
		if before > first {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), m.name...), `":`...)
		if !descend {
			dst = append(dst, m.value...)
			continue
		}
		value := len(dst)
		var err error
		p.path = append(p.path, '.')
		if dst, err = p.object(dst, m.value, r.keep); err != nil {
			return dst, err
		}
		if !r.keep && len(dst) == value+len("{}") {
			dst = dst[:before] // nothing in it was asked for
		}
	}
	p.path = p.path[:prefix]
	return append(dst, '}'), m.err
}

// rule sets p.path to the path of the member name, and returns its rule.
func (p *Projector) rule(prefix int, name []byte, keep bool) rule {
	p.path = appendText(p.path[:prefix], name)
	r, ok := p.rules[string(p.path)]
	switch {
	case ok:
		return r
	case bytes.IndexByte(name, '.') < 0:
		return rule{keep: keep}
	}
	// A dot in the name: the path may be below one that is no object's.
	r.keep = p.attrs.keeps(string(p.path))
	for path := range p.rules {
		r.mixed = r.mixed || covers(string(p.path), path)
	}
	return r
}
