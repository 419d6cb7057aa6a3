package sandbox

import (
	"cmp"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// readAPITokens is the permission to see the API tokens of all users.
const readAPITokens = "okta.users.apitokens.read"

// tokenWindow is how long an API token is valid after its last use.
const tokenWindow = 30 * day

// apiTokenResource describes API tokens ("List all API token metadata").
func apiTokenResource() resource {
	return resource{name: "API token", kind: "ApiToken", event: "system.api_token.update"}
}

// newAPITokens returns the API tokens at the start: of scripts, and of Okta's agents.
func (o *Org) newAPITokens() *store {
	gen := &o.users.originals
	s := newStore(apiTokenResource(), generator{}, 0, o.URL)
	for i, t := range []struct{ name, client string }{
		{"Terraform", "Okta API"}, {"AD agent dc01", "Okta AD Agent"}, {"payroll export", "Okta API"}, {"RADIUS agent vpn", "Okta RADIUS Agent"},
		{"=HYPERLINK(\"https://old.example\")", "Okta API"},
	} {
		if gen.n == 0 {
			break // each token has an owner
		}
		rng := gen.random(18, i)
		created := gen.epoch - int64(30+rng.intN(1500))*day
		used := rng.timeBetween(max(created, gen.epoch-20*day), gen.epoch)
		s.putLocked(o.apiTokenID(i), s.newObject(o.appendAPIToken(nil, i, t.name, t.client, gen.id(rng.intN(gen.n)), created, used)), time.UnixMilli(gen.epoch))
		s.additions++
	}
	return s
}

func (o *Org) apiTokenID(i int) string { return o.users.originals.objectID("00T", 19, i) }

// appendAPIToken appends API token i as the list shows it. Its value isn't shown, but
// a member that no client should store has a secret. The link is _link, as in the
// documentation, or _links, as in captured responses.
func (o *Org) appendAPIToken(dst []byte, i int, name, client, user string, created, used int64) []byte {
	id := o.apiTokenID(i)
	w := writer(append(dst, '{'))
	w.text("id", id)
	w.text("name", name)
	w.text("userId", user)
	w.text("clientName", client)
	w.raw("tokenWindow", []string{`"P30D"`, "null"}[i%2])
	w.raw("network", []string{`{"connection":"ANYWHERE"}`, `{"connection":"ZONE","include":["nzo1office"],"exclude":[]}`}[i%2])
	w.time("expiresAt", used+tokenWindow)
	w.time("created", created)
	w.time("lastUpdated", used)
	w.text("token", PlantedSecret+"-"+strconv.Itoa(i))
	w.raw([]string{"_link", "_links"}[i%2], `{"self":{"href":"`+o.URL()+"/api/v1/api-tokens/"+id+`","hints":{"allow":["GET","DELETE"]}}}`)
	w.close()
	return w
}

// listAPITokens is GET /api/v1/api-tokens. It returns all tokens, and ignores limit.
func (o *Org) listAPITokens(resp *response, _ *http.Request, _ *accessToken) error {
	writeArray(resp, func(yield func([]byte) bool) {
		for _, token := range o.APITokensJSON() {
			if !yield(token) {
				return
			}
		}
	})
	return nil
}

// writeArray writes a list without pages. It has no Link header.
func writeArray(resp *response, values iter.Seq[[]byte]) {
	body := []byte("[")
	for value := range values {
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, value...)
	}
	resp.writeRaw(append(body, ']'))
}

// AddAPIToken adds an API token of a user, and returns its id.
func (o *Org) AddAPIToken(name, user string) (id string) {
	s := o.apiTokens()
	s.mu.Lock()
	defer s.mu.Unlock()
	i, now := s.additions, o.now()
	s.additions++
	o.storeLocked(s, o.appendAPIToken(nil, i, name, "Okta API", user, now.UnixMilli(), now.UnixMilli()), "system.api_token.create", now)
	return o.apiTokenID(i)
}

// UseAPIToken changes lastUpdated and expiresAt of an API token, as each use does.
func (o *Org) UseAPIToken(id string) error {
	return o.setAttribute(o.apiTokens(), id, "expiresAt", appendTime(nil, o.now().UnixMilli()+tokenWindow))
}

// RevokeAPIToken removes an API token. Expired tokens are removed in the same way.
func (o *Org) RevokeAPIToken(id string) error {
	_, err := o.deleteObject(o.apiTokens(), id, "system.api_token.revoke")
	return err
}

// APITokensJSON yields every API token by id, as a list shows it, byte for byte.
func (o *Org) APITokensJSON() iter.Seq2[string, []byte] { return o.apiTokens().readAll() }

type factorKind struct{ prefix, kind, provider, vendor string }

// factorKinds are the kinds of factors of the users at the start.
var factorKinds = []factorKind{
	{"opf", "push", "OKTA", "OKTA"},
	{"sms", "sms", "OKTA", "OKTA"},
	{"ufs", "question", "OKTA", "OKTA"},
	{"uft", "token:software:totp", "GOOGLE", "GOOGLE"},
	{"fwf", "webauthn", "FIDO", "FIDO"},
	{"pfd", "signed_nonce", "OKTA", "OKTA"},
	{"emf", "email", "OKTA", "OKTA"},
	{"clf", "call", "OKTA", "OKTA"},
	{"ykf", "token:hardware", "YUBICO", "YUBICO"},
	{"dsf", "web", "DUO", "DUO"},
	{"rsf", "token", "RSA", "RSA"},
	{"fuf", "u2f", "FIDO", "FIDO"},
	{"chf", "token:hotp", "CUSTOM", "OKTA"},
	{"xyf", "palm:vein", "OKTA", "OKTA"}, // in no documentation: Okta can add types
}

var factorStatuses = []string{"ACTIVE", "PENDING_ACTIVATION", "INACTIVE", "ENROLLED", "NOT_SETUP", "DISABLED", "EXPIRED"}

// listFactors is "List all factors" of a user, who is given by id or login. A
// DEPROVISIONED user has no such list.
func (o *Org) listFactors(user string) handler {
	return func(resp *response, _ *http.Request, token *accessToken) error {
		covered := o.coverage(token)
		o.users.mu.RLock()
		var obj object
		found := o.users.findLocked(&obj, user) || strings.Contains(user, "@") && o.users.findLoginLocked(&obj, user)
		included := found && covered.includes(o.users, &obj)
		o.users.mu.RUnlock()
		switch {
		case !found || obj.status == deprovisioned:
			return notFound(user, o.users.kind)
		case !included:
			return newError("E0000006")
		}
		writeArray(resp, o.FactorsJSON(obj.id()))
		return nil
	}
}

// FactorsJSON yields the factors of a user that the policy shows, as their list shows
// them, byte for byte.
func (o *Org) FactorsJSON(user string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		o.factors.mu.Lock()
		defer o.factors.mu.Unlock()
		for _, f := range o.factorsLocked(user) {
			if !o.factors.hidden[factorKinds[f.kind].kind] && !yield(f.appendJSON(nil, user, o.URL())) {
				return
			}
		}
	}
}

// factorsLocked returns the factors of a user. At the start, these depend only on the
// user's number; users who were added have none.
func (o *Org) factorsLocked(user string) []factor {
	if list, ok := o.factors.changed[user]; ok {
		return list
	}
	gen := &o.users.originals
	number := gen.find(user)
	if number < 0 || gen.lifecycle(number).status == "STAGED" {
		return nil
	}
	rng := gen.random(20, number)
	list := make([]factor, rng.intN(4))
	first := rng.intN(len(factorKinds))
	for i := range list {
		kind := (first + i) % len(factorKinds)
		created := rng.timeBetween(gen.lifecycle(number).created, gen.epoch)
		list[i] = factor{id: gen.objectID(factorKinds[kind].prefix, 21, 4*number+i), status: "ACTIVE", kind: kind, created: created, updated: created}
		if rng.intN(6) == 0 {
			list[i].status = pick(&rng, factorStatuses)
		}
	}
	return list
}

// appendJSON appends the factor as a list shows it. Its profile and _embedded contain
// all kinds of secrets and personal data.
func (f factor) appendJSON(dst []byte, user, origin string) []byte {
	kind := factorKinds[f.kind]
	w := writer(append(dst, '{'))
	w.text("id", f.id)
	w.text("factorType", kind.kind)
	w.text("provider", kind.provider)
	w.text("vendorName", kind.vendor)
	w.text("status", f.status)
	w.time("created", f.created)
	w.time("lastUpdated", f.updated)
	profile := `{"credentialId":"` + PlantedSecret + `-credential"}`
	switch kind.kind {
	case "sms", "call":
		profile = `{"phoneNumber":"+1-555-` + PlantedSecret + `-phone"}`
	case "question":
		profile = `{"question":"` + PlantedSecret + `-question","questionText":"` + PlantedSecret + `-question?","answer":"` + PlantedSecret + `-answer"}`
	case "push", "signed_nonce":
		profile = `{"credentialId":"` + PlantedSecret + `-credential","deviceType":"SmartPhone_IPhone","name":"` + PlantedSecret + `-phone",` +
			`"keys":[{"kty":"EC","use":"sig","kid":"default","x":"` + PlantedSecret + `-key"}]}`
	}
	w.raw("profile", profile)
	self := origin + "/api/v1/users/" + user + "/factors/" + f.id
	w.raw("_links", `{"self":{"href":"`+self+`"},"user":{"href":"`+origin+"/api/v1/users/"+user+`"}}`)
	if f.status == "PENDING_ACTIVATION" {
		w.raw("_embedded", `{"activation":{"timeStep":30,"sharedSecret":"`+PlantedSecret+`-shared","encoding":"base32","keyLength":16,`+
			`"_links":{"qrcode":{"href":"`+self+`/qr/`+PlantedSecret+`-qr","type":"image/png"}}}}`)
	}
	w.close()
	return w
}

// EnrollFactor adds a factor of a type to a user, and returns its id. status "" is
// ACTIVE.
func (o *Org) EnrollFactor(user, kind, status string) (id string, err error) {
	number := slices.IndexFunc(factorKinds, func(k factorKind) bool { return k.kind == kind })
	if status = cmp.Or(status, "ACTIVE"); number < 0 || !slices.Contains(factorStatuses, status) {
		return "", fmt.Errorf("enroll factor of user %s: no type %q or no status %q", user, kind, status)
	}
	err = o.changeFactors(user, "activate", func(list []factor, now int64) ([]factor, error) {
		o.factors.additions++
		id = o.users.originals.objectID(factorKinds[number].prefix, 22, o.factors.additions)
		return append(list, factor{id: id, status: status, kind: number, created: now, updated: now}), nil
	})
	return id, err
}

// SetFactorStatus sets the status of a factor, and its lastUpdated to the org's time.
func (o *Org) SetFactorStatus(user, id, status string) error {
	return o.changeFactors(user, "update", func(list []factor, now int64) ([]factor, error) {
		i := slices.IndexFunc(list, func(f factor) bool { return f.id == id })
		if i < 0 || !slices.Contains(factorStatuses, status) {
			return nil, fmt.Errorf("set status of factor %s of user %s: no such factor, or no status %q", id, user, status)
		}
		list[i].status, list[i].updated = status, now
		return list, nil
	})
}

// RemoveFactor removes a factor of a user.
func (o *Org) RemoveFactor(user, id string) error {
	return o.changeFactors(user, "deactivate", func(list []factor, _ int64) ([]factor, error) {
		left := slices.DeleteFunc(list, func(f factor) bool { return f.id == id })
		if len(left) == len(list) {
			return nil, fmt.Errorf("remove factor %s of user %s: no such factor", id, user)
		}
		return left, nil
	})
}

// changeFactors replaces the factors of a user, and logs an event. It changes nothing
// else of the user.
func (o *Org) changeFactors(user, event string, change func(list []factor, now int64) ([]factor, error)) error {
	var obj object
	if !o.users.load(&obj, user) {
		return fmt.Errorf("%s factor: no user %s", event, user)
	}
	now := o.now()
	o.factors.mu.Lock()
	defer o.factors.mu.Unlock()
	list, err := change(slices.Clone(o.factorsLocked(user)), now.UnixMilli())
	if err != nil {
		return err
	}
	if o.factors.changed == nil {
		o.factors.changed = map[string][]factor{}
	}
	o.factors.changed[user] = list
	o.log.add(now, "user.mfa.factor."+event, &obj)
	return nil
}

// ShowFactors sets whether Okta lists the factors of a type. A policy that applies to
// the client decides this for all users, and the factors remain.
func (o *Org) ShowFactors(kind string, shown bool) error {
	o.factors.mu.Lock()
	defer o.factors.mu.Unlock()
	if !slices.ContainsFunc(factorKinds, func(k factorKind) bool { return k.kind == kind }) {
		return fmt.Errorf("show factors: no type %q", kind)
	}
	if o.factors.hidden == nil {
		o.factors.hidden = map[string]bool{}
	}
	o.factors.hidden[kind] = !shown
	return nil
}
