package sandbox

import (
	"slices"
	"sort"
	"strconv"
	"time"

	"oktasync/oktaclient/sandbox/internal/people"
)

// generator creates the org's original users. Each user depends only on the seed
// and the user's number. An org of any size therefore needs no memory, and is the
// same at every start.
type generator struct {
	seed          uint64
	n             int   // how many users the org has at the start
	deprovisioned int   // how many of them are DEPROVISIONED
	epoch         int64 // the latest time of any user; milliseconds since 1970
	imported      float64
}

const (
	day = 24 * int64(time.Hour/time.Millisecond)

	idDigits = 4                                                                // characters of an id that are a serial number
	idTail   = 13                                                               // characters of an id that are random
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

// timeBetween returns a time from a to b. Times near b are more probable.
func (rng *random) timeBetween(a, b int64) int64 {
	u := rng.float64()
	return b - int64(u*u*float64(b-a))
}

func pick[T any](rng *random, from []T) T { return from[rng.intN(len(from))] }

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
	if f.status != "ACTIVE" || rng.intN(9) > 0 { // an ACTIVE user can lack activated
		f.activated = f.created + int64(rng.float64()*float64(f.statusChanged-f.created))
	}
	if f.status != "PROVISIONED" {
		f.passwordChanged = rng.timeBetween(f.created, f.lastUpdated)
		f.lastLogin = rng.timeBetween(f.statusChanged, gen.epoch)
	}
	return f
}

// status returns the status of user i. Every hundred users have each status, and
// exactly the configured number of users is DEPROVISIONED.
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

// names are the names of a user, and their culture.
type names struct {
	culture       *people.Culture
	given, family people.Name
	display       string
	login         string
}

func (gen *generator) names(i int) names {
	rng := gen.random(4, i)
	c := &people.Cultures[rng.intN(len(people.Cultures))]
	n := names{culture: c, given: pick(&rng, c.Given), family: pick(&rng, c.Family)}
	n.display = n.given.Own + " " + n.family.Own
	if c.FamilyFirst {
		n.display = n.family.Own + " " + n.given.Own
	}
	n.login = n.given.Login + "." + n.family.Login + strconv.Itoa(i+1) + "@" + people.Domain
	return n
}

// baseAttributes are in every Okta user profile ("User profile: default
// attributes"). customAttributes are the company's own, one of each type.
var (
	baseAttributes = []string{
		"login", "email", "secondEmail", "firstName", "lastName", "middleName", "honorificPrefix",
		"honorificSuffix", "title", "displayName", "nickName", "profileUrl", "primaryPhone", "mobilePhone",
		"streetAddress", "city", "state", "zipCode", "countryCode", "postalAddress", "preferredLanguage",
		"locale", "timezone", "userType", "employeeNumber", "costCenter", "organization", "division",
		"department", "managerId", "manager",
	}
	customAttributes = []string{
		"badgeNumber", "fte", "mileageRate", "onCall", "floor", "hireDate",
		"certifications", "costSplit", "accessTiers", "deskNote",
	}
)

// appendUser appends user i as a list shows it: about 1.4 kB, with the members in
// Okta's order. As at Okta, empty attributes are null, "" or absent.
func (gen *generator) appendUser(dst []byte, i int, f lifecycle, origin string) []byte {
	rng := gen.random(5, i)
	id := gen.id(i)
	w := writer(append(dst, '{'))
	w.text("id", id)
	w.text("status", f.status)
	if f.status == "PROVISIONED" && rng.intN(2) == 0 {
		w.text("transitioningToStatus", "ACTIVE")
	}
	w.time("created", f.created)
	w.time("activated", f.activated)
	w.time("statusChanged", f.statusChanged)
	w.time("lastLogin", f.lastLogin)
	w.time("lastUpdated", f.lastUpdated)
	w.time("passwordChanged", f.passwordChanged)
	w.raw("type", `{"id":"oty1brightwaterUser0"}`)
	if rng.intN(12) == 0 { // in no schema: Okta can add members at any time
		w.raw("assurance", `{"level":"HIGH","score":0.870,"seen":[1,2.0,3e2],"by":null}`)
	}
	n := gen.names(i)
	w.open("profile")
	gen.base(&w, &rng, i, n)
	gen.work(&w, &rng, i)
	custom(&w, &rng, i)
	w.close()
	credentials(&w, &rng, n, f)
	w.open("_links")
	w.open("self")
	w.text("href", origin+"/api/v1/users/"+id)
	w.close()
	w.close()
	w.close()
	return w
}

// base writes the name and the address.
func (gen *generator) base(w *writer, rng *random, i int, n names) {
	c := n.culture
	w.text("firstName", n.given.Own)
	w.text("lastName", n.family.Own)
	switch rng.intN(3) {
	case 0:
		w.raw("mobilePhone", "null")
	default:
		w.text("mobilePhone", phone(c, rng))
	}
	switch rng.intN(4) {
	case 0:
		w.raw("secondEmail", "null")
	case 1:
		w.text("secondEmail", "")
	default:
		w.text("secondEmail", n.given.Login+strconv.Itoa(i+1)+"@mailbox.example")
	}
	w.text("login", n.login)
	w.text("email", n.login)
	w.text("displayName", n.display)
	switch rng.intN(8) {
	case 0:
		w.text("nickName", "=\""+n.given.Own+"\"") // a formula for a spreadsheet
	case 1:
		w.text("honorificPrefix", "Dr.")
	case 2:
		w.text("middleName", pick(rng, c.Given).Own)
	case 3:
		w.raw("nickName", "null")
	}
	w.text("primaryPhone", phone(c, rng))
	street := pick(rng, c.Streets) + " " + strconv.Itoa(1+rng.intN(180))
	city := pick(rng, c.Cities)
	w.text("streetAddress", street)
	w.text("city", city)
	if rng.intN(3) == 0 {
		w.text("postalAddress", n.display+"\n"+street+"\n"+city)
	}
	w.text("zipCode", strconv.Itoa(10000+rng.intN(89999)))
	w.text("countryCode", c.Country)
	w.text("preferredLanguage", c.Language)
	w.text("locale", c.Locale)
	w.text("timezone", c.Zone)
}

func phone(c *people.Culture, rng *random) string {
	return c.Dial + strconv.Itoa(10000+rng.intN(89999))
}

// work writes the job. The manager of a user is an earlier user.
func (gen *generator) work(w *writer, rng *random, i int) {
	dept := pick(rng, people.Departments)
	w.text("organization", people.Company)
	w.text("division", dept.Division)
	w.text("department", dept.Name)
	w.text("costCenter", dept.CostCenter)
	w.text("title", pick(rng, dept.Titles))
	w.text("userType", pick(rng, people.UserTypes))
	w.text("employeeNumber", "BW"+strconv.Itoa(100_000+i))
	if i > 0 {
		w.text("managerId", gen.id(i/8))
		w.text("manager", gen.names(i/8).display)
	}
}

// custom writes the company's own attributes. A conversion to float64 would change
// the numbers.
func custom(w *writer, rng *random, i int) {
	w.raw("badgeNumber", strconv.FormatInt(1<<53+1+2*int64(i), 10))
	w.raw("fte", pick(rng, []string{"1.00", "1.00", "0.80", "0.50"}))
	switch rng.intN(5) {
	case 0:
		w.raw("mileageRate", "1.50")
	case 1:
		w.raw("mileageRate", "12345678901234567890.10")
	case 2:
		w.raw("mileageRate", "null")
	case 3:
		w.raw("mileageRate", "1.0E+2")
	}
	w.raw("onCall", pick(rng, []string{"true", "false"}))
	if rng.intN(6) > 0 {
		w.raw("floor", strconv.Itoa(rng.intN(40)-2))
	}
	w.text("hireDate", "20"+strconv.Itoa(10+rng.intN(16))+"-0"+strconv.Itoa(1+rng.intN(9))+"-1"+strconv.Itoa(rng.intN(10)))
	w.name("certifications")
	*w = append(*w, '[')
	for k, most := 0, rng.intN(4); k < most; k++ {
		if k > 0 {
			*w = append(*w, ',')
		}
		*w = appendString(*w, pick(rng, people.Certifications))
	}
	*w = append(*w, ']')
	w.raw("costSplit", pick(rng, []string{"[1.00]", "[0.50,0.50]", "[0.70,0.20,0.10]"}))
	w.raw("accessTiers", pick(rng, []string{"[1]", "[1,2]", "[1,2,9007199254740993]", "[]"}))
	switch rng.intN(4) {
	case 0:
		w.text("deskNote", "")
	case 1:
		w.text("deskNote", "sits by the window; tab\there, \\ there")
	case 2:
		w.raw("deskNote", "null")
	}
}

// credentials writes the kinds of credentials. Okta never shows their values.
func credentials(w *writer, rng *random, n names, f lifecycle) {
	w.open("credentials")
	if f.passwordChanged != 0 {
		w.raw("password", "{}")
	}
	w.name("emails")
	*w = append(*w, `[{"value":`...)
	*w = appendString(*w, n.login)
	*w = append(*w, `,"status":"VERIFIED","type":"PRIMARY"}]`...)
	if rng.intN(3) > 0 {
		w.open("recovery_question")
		w.text("question", pick(rng, people.Questions))
		w.close()
	}
	switch rng.intN(4) {
	case 0:
		w.raw("provider", `{"type":"ACTIVE_DIRECTORY","name":"brightwater.example"}`)
	default:
		w.raw("provider", `{"type":"OKTA","name":"OKTA"}`)
	}
	w.close()
}

// deprovisioned is the status of deactivated users.
const deprovisioned = "DEPROVISIONED"

// userResource describes users ("List users").
func userResource() resource {
	return resource{
		name: "user", kind: "User", event: "user.account.update_profile",
		minLimit: 1, maxLimit: 200, maxFound: 10,
		found:      []string{"profile.firstName", "profile.lastName", "profile.email"},
		department: "profile.department", login: "profile.login", links: userLinks,
		profile:  slices.Concat(baseAttributes, customAttributes),
		filter:   []string{"id", "status", "lastUpdated", "profile.login", "profile.email", "profile.firstName", "profile.lastName"},
		search:   []string{"id", "status", "created", "activated", "statusChanged", "lastUpdated", "type.id"},
		contains: []string{"profile.firstName", "profile.lastName", "profile.email", "profile.login"},
	}
}

// userLinks returns the links of a user that is read by id. In a list, a user
// has only self.
func userLinks(self string) []byte {
	w := writer("{")
	for _, name := range []string{"suspend", "resetPassword", "expirePassword", "deactivate"} {
		w.open(name)
		w.text("href", self+"/lifecycle/"+name)
		w.text("method", "POST")
		w.close()
	}
	w.raw("self", `{"href":"`+self+`"}`)
	w.close()
	return w
}

// appUserStatuses are all statuses of a user of an app.
var appUserStatuses = []string{"ACTIVE", "APPROVED", "DEPROVISIONED", "IMPLICIT", "IMPORTED", "INACTIVE", "MATCHED", "PENDING", "PROVISIONED",
	"REVOKED", "STAGED", "SUSPENDED", "UNASSIGNED"}
