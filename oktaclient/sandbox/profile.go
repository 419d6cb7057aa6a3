package sandbox

import "strconv"

// baseAttributes are those that every Okta user profile has ("User profile:
// default attributes"); customAttributes are the company's own, one of each type.
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

// appendUser appends person i as a list of users shows them: about 1.4 kB, the
// members in Okta's order, null, "" and absent mixed as Okta mixes them.
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
	if rng.intN(12) == 0 { // in no schema: new members can appear any day
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

// base writes who and where the person is.
func (gen *generator) base(w *writer, rng *random, i int, n names) {
	c := n.culture
	w.text("firstName", n.given.own)
	w.text("lastName", n.family.own)
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
		w.text("secondEmail", n.given.login+strconv.Itoa(i+1)+"@mailbox.example")
	}
	w.text("login", n.login)
	w.text("email", n.login)
	w.text("displayName", n.display)
	switch rng.intN(8) {
	case 0:
		w.text("nickName", "=\""+n.given.own+"\"") // a spreadsheet would run it
	case 1:
		w.text("honorificPrefix", "Dr.")
	case 2:
		w.text("middleName", pick(rng, c.given).own)
	case 3:
		w.raw("nickName", "null")
	}
	w.text("primaryPhone", phone(c, rng))
	street := pick(rng, c.streets) + " " + strconv.Itoa(1+rng.intN(180))
	city := pick(rng, c.cities)
	w.text("streetAddress", street)
	w.text("city", city)
	if rng.intN(3) == 0 {
		w.text("postalAddress", n.display+"\n"+street+"\n"+city)
	}
	w.text("zipCode", strconv.Itoa(10000+rng.intN(89999)))
	w.text("countryCode", c.country)
	w.text("preferredLanguage", c.language)
	w.text("locale", c.locale)
	w.text("timezone", c.zone)
}

func phone(c *culture, rng *random) string { return c.dial + strconv.Itoa(10000+rng.intN(89999)) }

// work writes what the person does; who joined earlier is the manager of those who came later.
func (gen *generator) work(w *writer, rng *random, i int) {
	dept := pick(rng, departments)
	w.text("organization", company)
	w.text("division", dept.division)
	w.text("department", dept.name)
	w.text("costCenter", dept.costCenter)
	w.text("title", pick(rng, dept.titles))
	w.text("userType", pick(rng, userTypes))
	w.text("employeeNumber", "BW"+strconv.Itoa(100_000+i))
	if i > 0 {
		w.text("managerId", gen.id(i/8))
		w.text("manager", gen.names(i/8).display)
	}
}

// custom writes the company's own attributes. Number texts are such that a
// detour over float64 would change them.
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
		*w = appendString(*w, pick(rng, certifications))
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

// credentials writes what there is, without a value: Okta never shows one.
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
		w.text("question", pick(rng, questions))
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
