package sandbox

import (
	"sort"
	"strconv"
	"time"
)

// generator creates the org's original users. Each is a pure function of the seed
// and a number, so that an org of any size needs no memory, and is the same at
// every start.
type generator struct {
	seed          uint64
	n             int   // how many users the org has at the start
	deprovisioned int   // how many of them are DEPROVISIONED
	epoch         int64 // no time of theirs is later; milliseconds since 1970
	imported      float64
}

const (
	day = 24 * int64(time.Hour/time.Millisecond)

	idDigits = 4                                                                // of an id, that are a serial number
	idTail   = 13                                                               // of an id, that are random
	base62   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" // in ASCII order
)

// random is splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
type random uint64

func (gen *generator) random(salt, i int) random {
	rng := random(gen.seed ^ uint64(salt)<<56 ^ uint64(i)*0x9E3779B97F4A7C15)
	rng.next()
	return rng
}

func (rng *random) next() uint64 {
	*rng += 0x9E3779B97F4A7C15
	z := uint64(*rng)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// intN returns a number from 0 up to but not including n.
func (rng *random) intN(n int) int { return int(rng.next() >> 33 * uint64(n) >> 31) }

// float64 returns a number from 0 up to but not including 1.
func (rng *random) float64() float64 { return float64(rng.next()>>11) / (1 << 53) }

// timeBetween returns a time from a to b, likelier to be near b.
func (rng *random) timeBetween(a, b int64) int64 {
	u := rng.float64()
	return b - int64(u*u*float64(b-a))
}

func pick[T any](rng *random, from []T) T { return from[rng.intN(len(from))] }

// id returns the id of user i.
func (gen *generator) id(i int) string { return gen.objectID("00u", 1, i) }

// objectID returns the id of object i of a kind, which begins with prefix. Like
// Okta's, it has 20 characters, and a later object has a greater id.
func (gen *generator) objectID(prefix string, salt, i int) string {
	var id [3 + idDigits + idTail]byte
	copy(id[:], prefix)
	serial := 62*62*62 + int(gen.seed%7)*62*62*62 + i
	for at := 2 + idDigits; at > 2; at-- {
		id[at] = base62[serial%62]
		serial /= 62
	}
	rng := gen.random(salt, i)
	for at := 3 + idDigits; at < len(id); at++ {
		id[at] = base62[rng.intN(62)]
	}
	return string(id[:])
}

// find returns the number of the user with the id, or -1.
func (gen *generator) find(id string) int {
	i := sort.Search(gen.n, func(i int) bool { return gen.id(i) >= id })
	if i < gen.n && gen.id(i) == id {
		return i
	}
	return -1
}

// lifecycle returns the status and the times of user i.
func (gen *generator) lifecycle(i int) lifecycle {
	rng := gen.random(2, i)
	f := lifecycle{status: gen.status(i)}
	f.created = gen.epoch - 30*day - int64(rng.float64()*float64(3000*day))
	f.lastUpdated = rng.timeBetween(f.created, gen.epoch)
	if rng.float64() < gen.imported { // an import changed many users within a minute
		minute := gen.epoch - 20*day
		f.lastUpdated = minute + int64(rng.intN(60_000))
		f.created = min(f.created, minute-day)
	}
	f.statusChanged = rng.timeBetween(f.created, f.lastUpdated)
	if f.status == "STAGED" {
		f.statusChanged = 0
		return f
	}
	if f.status != "ACTIVE" || rng.intN(9) > 0 { // an ACTIVE user can have none
		f.activated = f.created + int64(rng.float64()*float64(f.statusChanged-f.created))
	}
	if f.status != "PROVISIONED" {
		f.passwordChanged = rng.timeBetween(f.created, f.lastUpdated)
		f.lastLogin = rng.timeBetween(f.statusChanged, gen.epoch)
	}
	return f
}

// status spreads the statuses so that every hundred users have each of them,
// and exactly the configured number is DEPROVISIONED.
func (gen *generator) status(i int) string {
	if block := i * gen.deprovisioned / max(gen.n, 1); gen.deprovisioned > 0 {
		start := (block*gen.n + gen.deprovisioned - 1) / gen.deprovisioned
		end := ((block+1)*gen.n + gen.deprovisioned - 1) / gen.deprovisioned
		rng := gen.random(3, block)
		if i == start+rng.intN(end-start) {
			return "DEPROVISIONED"
		}
	}
	switch (i*37 + int(gen.seed%100)) % 100 {
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

// names are the names of a user, and the culture that they are from.
type names struct {
	culture       *culture
	given, family name
	display       string
	login         string
}

func (gen *generator) names(i int) names {
	rng := gen.random(4, i)
	c := &cultures[rng.intN(len(cultures))]
	n := names{culture: c, given: pick(&rng, c.given), family: pick(&rng, c.family)}
	n.display = n.given.own + " " + n.family.own
	if c.familyFirst {
		n.display = n.family.own + " " + n.given.own
	}
	n.login = n.given.login + "." + n.family.login + strconv.Itoa(i+1) + "@" + domain
	return n
}
