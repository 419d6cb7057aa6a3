package sandbox

import (
	"sort"
	"strconv"
	"time"
)

// people makes up the org's people. Each is a pure function of the seed and a
// number, so that an org of any size costs no memory and is the same at every
// start; the org stores only those that have been changed since.
type people struct {
	seed          uint64
	n             int   // how many the org began with
	deprovisioned int   // how many of those are DEPROVISIONED
	epoch         int64 // nothing of theirs is later; milliseconds since 1970
	imported      float64
}

// facts are the members of a user that filters and the org's own rules look at.
// Times are milliseconds since 1970, 0 is null.
type facts struct {
	status                             string
	created, activated, statusChanged  int64
	lastLogin, lastUpdated, passwordAt int64
	membershipAt                       int64 // lastMembershipUpdated of a group
}

const (
	day = 24 * int64(time.Hour/time.Millisecond)

	idDigits = 4                                                                // of an id, that count up
	idTail   = 13                                                               // of an id, that don't
	base62   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" // in ASCII order
)

// dice is splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
type dice uint64

func (p *people) dice(salt, i int) dice {
	d := dice(p.seed ^ uint64(salt)<<56 ^ uint64(i)*0x9E3779B97F4A7C15)
	d.next()
	return d
}

func (d *dice) next() uint64 {
	*d += 0x9E3779B97F4A7C15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// roll returns a number from 0 up to but not including n.
func (d *dice) roll(n int) int { return int(d.next() >> 33 * uint64(n) >> 31) }

// unit returns a number from 0 up to but not including 1.
func (d *dice) unit() float64 { return float64(d.next()>>11) / (1 << 53) }

// between returns a moment from a to b, likelier to be near b.
func (d *dice) between(a, b int64) int64 {
	u := d.unit()
	return b - int64(u*u*float64(b-a))
}

func pick[T any](d *dice, from []T) T { return from[d.roll(len(from))] }

// id returns the id of person i.
func (p *people) id(i int) string { return p.objectID("00u", 1, i) }

// objectID returns the id of object i of a kind, which begins with prefix. Like
// Okta's, it has 20 characters, and a later object has a greater id.
func (p *people) objectID(prefix string, salt, i int) string {
	var id [3 + idDigits + idTail]byte
	copy(id[:], prefix)
	serial := 62*62*62 + int(p.seed%7)*62*62*62 + i
	for at := 2 + idDigits; at > 2; at-- {
		id[at] = base62[serial%62]
		serial /= 62
	}
	d := p.dice(salt, i)
	for at := 3 + idDigits; at < len(id); at++ {
		id[at] = base62[d.roll(62)]
	}
	return string(id[:])
}

// after returns the first of the original people whose id comes after id.
func (p *people) after(id string) int {
	return sort.Search(p.n, func(i int) bool { return p.id(i) > id })
}

// find returns which of the original people has the id, or -1.
func (p *people) find(id string) int {
	i := sort.Search(p.n, func(i int) bool { return p.id(i) >= id })
	if i < p.n && p.id(i) == id {
		return i
	}
	return -1
}

// facts returns what person i was at the start.
func (p *people) facts(i int) facts {
	d := p.dice(2, i)
	f := facts{status: p.status(i)}
	f.created = p.epoch - 30*day - int64(d.unit()*float64(3000*day))
	f.lastUpdated = d.between(f.created, p.epoch)
	if d.unit() < p.imported { // one minute in which an import touched many
		minute := p.epoch - 20*day
		f.lastUpdated = minute + int64(d.roll(60_000))
		f.created = min(f.created, minute-day)
	}
	f.statusChanged = d.between(f.created, f.lastUpdated)
	if f.status == "STAGED" {
		f.statusChanged = 0
		return f
	}
	if f.status != "ACTIVE" || d.roll(9) > 0 { // an ACTIVE user can have none
		f.activated = f.created + int64(d.unit()*float64(f.statusChanged-f.created))
	}
	if f.status != "PROVISIONED" {
		f.passwordAt = d.between(f.created, f.lastUpdated)
		f.lastLogin = d.between(f.statusChanged, p.epoch)
	}
	return f
}

// status spreads the statuses so that every hundred people have each of them
// and the org has exactly as many DEPROVISIONED as it was told.
func (p *people) status(i int) string {
	if block := i * p.deprovisioned / max(p.n, 1); p.deprovisioned > 0 {
		start := (block*p.n + p.deprovisioned - 1) / p.deprovisioned
		end := ((block+1)*p.n + p.deprovisioned - 1) / p.deprovisioned
		d := p.dice(3, block)
		if i == start+d.roll(end-start) {
			return "DEPROVISIONED"
		}
	}
	switch (i*37 + int(p.seed%100)) % 100 {
	case 0, 1:
		return "STAGED"
	case 2:
		return "PROVISIONED"
	case 3:
		return "RECOVERY"
	case 4:
		return "LOCKED_OUT"
	case 5:
		return "PASSWORD_EXPIRED"
	case 6, 7:
		return "SUSPENDED"
	}
	return "ACTIVE"
}

// names of a person, and where they are from.
type names struct {
	culture       *culture
	given, family name
	display       string
	login         string
}

func (p *people) names(i int) names {
	d := p.dice(4, i)
	c := &cultures[d.roll(len(cultures))]
	n := names{culture: c, given: pick(&d, c.given), family: pick(&d, c.family)}
	n.display = n.given.own + " " + n.family.own
	if c.familyFirst {
		n.display = n.family.own + " " + n.given.own
	}
	n.login = n.given.login + "." + n.family.login + strconv.Itoa(i+1) + "@" + domain
	return n
}

// writer appends the members of a JSON object.
type writer []byte

func (w *writer) name(name string) {
	if last := (*w)[len(*w)-1]; last != '{' {
		*w = append(*w, ',')
	}
	*w = append(appendString(*w, name), ':')
}

func (w *writer) text(name, value string) {
	w.name(name)
	*w = appendString(*w, value)
}

func (w *writer) raw(name, value string) {
	w.name(name)
	*w = append(*w, value...)
}

func (w *writer) time(name string, ms int64) {
	w.name(name)
	*w = appendTime(*w, ms)
}

func (w *writer) open(name string) {
	w.name(name)
	*w = append(*w, '{')
}

func (w *writer) close() { *w = append(*w, '}') }

// timeLayout is how Okta writes dates ("Okta API: dates"): UTC, with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

func appendTime(dst []byte, ms int64) []byte {
	if ms == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = time.UnixMilli(ms).UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}
