package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// view is what an answer shows of each user.
type view struct {
	key    string // tells views apart
	omit   []string
	fields map[string][]string // nil: all; a list: these members of it only
}

// viewOf reads the okta-response words, which stand in the Content-Type of the
// request, also of a GET ("List users: omitting credentials"), and fields.
func viewOf(r *http.Request, fields string) view {
	v := view{key: fields}
	_, words, _ := strings.Cut(r.Header.Get("Content-Type"), "okta-response=")
	words, _, _ = strings.Cut(words, ";")
	for word := range strings.SplitSeq(strings.Trim(words, `"`), ",") {
		switch strings.TrimSpace(word) {
		case "omitCredentials":
			v.omit = append(v.omit, "credentials")
		case "omitTransitioningToStatus":
			v.omit = append(v.omit, "transitioningToStatus")
		}
	}
	v.key += "\x00" + strings.Join(v.omit, ",")
	if fields == "" {
		return v
	}
	v.fields = map[string][]string{"id": nil}
	for fields != "" {
		var name, inner string
		end := strings.IndexAny(fields, ",:")
		if end < 0 {
			end = len(fields)
		}
		name, fields = fields[:end], fields[end:]
		if rest, ok := strings.CutPrefix(fields, ":("); ok {
			inner, fields, _ = strings.Cut(rest, ")")
			v.fields[name] = strings.Split(inner, ",")
		} else {
			v.fields[name] = nil
		}
		fields = strings.TrimPrefix(fields, ",")
	}
	return v
}

// apply returns what the view shows of a user.
func (v view) apply(json []byte) []byte {
	for _, name := range v.omit {
		json = without(json, name)
	}
	if v.fields == nil {
		return json
	}
	return only(json, func(name string) ([]string, bool) {
		inner, ok := v.fields[name]
		return inner, ok
	})
}

// only keeps the members that are wanted, and of those with a list only what it names.
func only(obj []byte, wanted func(string) ([]string, bool)) []byte {
	w := writer("{")
	for m := range members(obj) {
		inner, ok := wanted(m.name())
		if !ok {
			continue
		}
		value := obj[m.value:m.end]
		if inner != nil && value[0] == '{' {
			value = only(value, func(name string) ([]string, bool) { return nil, slices.Contains(inner, name) })
		}
		w.raw(m.name(), string(value))
	}
	w.close()
	return w
}
