package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// projection is the part of each object that a response contains.
type projection struct {
	cacheKey string // different for each projection
	omit     []string
	fields   map[string][]string // nil: all; a list: these members of it only
}

// parseProjection parses fields, and the okta-response words. Those are in the
// Content-Type of the request, also of a GET ("List users: omitting credentials").
func parseProjection(r *http.Request) projection {
	fields := r.URL.Query().Get("fields")
	p := projection{cacheKey: fields}
	_, words, _ := strings.Cut(r.Header.Get("Content-Type"), "okta-response=")
	words, _, _ = strings.Cut(words, ";")
	for word := range strings.SplitSeq(strings.Trim(words, `"`), ",") {
		switch strings.TrimSpace(word) {
		case "omitCredentials":
			p.omit = append(p.omit, "credentials")
		case "omitTransitioningToStatus":
			p.omit = append(p.omit, "transitioningToStatus")
		}
	}
	p.cacheKey += "\x00" + strings.Join(p.omit, ",")
	if fields == "" {
		return p
	}
	p.fields = map[string][]string{"id": nil}
	for fields != "" {
		var name, inner string
		end := strings.IndexAny(fields, ",:")
		if end < 0 {
			end = len(fields)
		}
		name, fields = fields[:end], fields[end:]
		if rest, ok := strings.CutPrefix(fields, ":("); ok {
			inner, fields, _ = strings.Cut(rest, ")")
			p.fields[name] = strings.Split(inner, ",")
		} else {
			p.fields[name] = nil
		}
		fields = strings.TrimPrefix(fields, ",")
	}
	return p
}

// apply returns the projection of an object.
func (p projection) apply(json []byte) []byte {
	for _, name := range p.omit {
		json = without(json, name)
	}
	if p.fields == nil {
		return json
	}
	return project(json, func(name string) ([]string, bool) {
		inner, ok := p.fields[name]
		return inner, ok
	})
}

// project returns the members that keep selects. If keep returns a list for an
// object, project returns only the members of the object in that list.
func project(obj []byte, keep func(string) ([]string, bool)) []byte {
	w := writer("{")
	for m := range members(obj) {
		inner, ok := keep(m.name())
		if !ok {
			continue
		}
		value := obj[m.value:m.end]
		if inner != nil && value[0] == '{' {
			value = project(value, func(name string) ([]string, bool) { return nil, slices.Contains(inner, name) })
		}
		w.raw(m.name(), string(value))
	}
	w.close()
	return w
}
