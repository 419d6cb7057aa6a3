package sandbox

import (
	"cmp"
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// PlantedSecret is a part of every secret in apps and assignments, such as
// client_secret: no client of the org should ever store it.
const PlantedSecret = "planted-secret"

// template is a kind of app.
type template struct {
	name, label string
	mode        string // signOnMode; "": null
	implicit    bool   // everyone can use the app, and it has no users
	inactive    bool
}

var templates = []template{
	{name: "active_directory", label: "brightwater.example"},
	{name: "salesforce", label: "Salesforce", mode: "SAML_2_0"},
	{name: "oidc_client", label: "Warehouse Scanner", mode: "OPENID_CONNECT"},
	{name: "bookmark", label: "Cafeteria Menu", mode: "BOOKMARK", implicit: true},
	{name: "template_swa", label: "Parts \"Legacy\" Portal", mode: "BROWSER_PLUGIN"},
	{name: "office365", label: "Microsoft 365", mode: "WS_FEDERATION"},
	{name: "brightwater_expenses_1", label: "Expenses <old>", mode: "SAML_2_0", inactive: true},
	{name: "csv_directory", label: "Badge Import"},
	{name: "template_basic_auth", label: "Messgeräte-Katalog", mode: "BASIC_AUTH"},
	{name: "template_sps", label: "Secure Store", mode: "SECURE_PASSWORD_STORE", inactive: true},
	{name: "agent_portal", label: "Agent Portal", mode: "AGENT_TO_AGENT"}, // in no documentation: Okta can add modes
	{name: "github_enterprise", label: "GitHub", mode: "SAML_2_0"},
}

// appResource describes apps ("List all applications"). A plain list contains
// INACTIVE apps too. There is no search, and a filter compares one attribute.
func appResource() resource {
	return resource{
		name: "app", kind: "AppInstance", event: "application.lifecycle.update",
		minLimit: 1, defaultLimit: 20, maxLimit: 200, maxFound: 200, found: []string{"label", "name"},
		filter: []string{"id", "status", "name", "credentials.signing.kid"}, oneComparison: true,
	}
}

func (o *Org) appID(i int) string {
	if i == 0 {
		return directoryID
	}
	return o.users.originals.objectID("0oa", 10, i)
}

// newApps returns the apps at the start.
func (o *Org) newApps() *store {
	s := newStore(appResource(), generator{}, 0, o.URL)
	epoch := o.users.originals.epoch
	for i := range cmp.Or(o.cfg.Apps, len(templates)) {
		t, rng := templates[i%len(templates)], o.users.originals.random(11, i)
		if i >= len(templates) && i%10 > 0 { // a tenth has the label of another app
			t.label += " " + strconv.Itoa(i/len(templates)+1)
		}
		created := epoch - int64(30+rng.intN(3000))*day
		s.putLocked(o.appID(i), s.newObject(o.appendApp(nil, i, t, created, rng.timeBetween(created, epoch))), time.UnixMilli(epoch))
		s.additions++
	}
	return s
}

// appendApp appends app i as a list shows it. It contains all kinds of secrets.
func (o *Org) appendApp(dst []byte, i int, t template, created, updated int64) []byte {
	id, secret := o.appID(i), PlantedSecret+"-"+strconv.Itoa(i)
	w := writer(append(dst, '{'))
	w.text("id", id)
	w.text("orn", "orn:okta:idp:"+o.ID()+":apps:"+t.name+":"+id)
	w.text("name", t.name)
	w.text("label", t.label)
	status := "ACTIVE"
	if t.inactive {
		status = "INACTIVE"
	}
	w.text("status", status)
	w.time("lastUpdated", updated)
	w.time("created", created)
	w.raw("accessibility", `{"selfService":`+strconv.FormatBool(i%3 == 0)+`,"errorRedirectUrl":null,"loginRedirectUrl":"https://apps.example/?token=`+secret+`"}`)
	w.raw("visibility", `{"autoLaunch":false,"autoSubmitToolbar":false,"hide":{"iOS":false,"web":`+strconv.FormatBool(i%4 == 1)+`},"appLinks":{"login":true}}`)
	w.raw("features", `["PUSH_NEW_USERS","IMPORT_NEW_USERS"]`)
	if t.mode == "" {
		w.raw("signOnMode", "null")
	} else {
		w.text("signOnMode", t.mode)
	}
	w.open("credentials")
	w.raw("userNameTemplate", `{"template":"${source.login}","type":"BUILT_IN"}`)
	w.raw("signing", `{"kid":"kid-`+strconv.Itoa(i)+`","privateKey":"`+secret+`"}`)
	switch t.mode {
	case "OPENID_CONNECT":
		w.raw("oauthClient", `{"client_id":"`+id+`","client_secret":"`+secret+`","token_endpoint_auth_method":"private_key_jwt","autoKeyRotation":true}`)
	case "BROWSER_PLUGIN", "BASIC_AUTH", "SECURE_PASSWORD_STORE":
		w.raw("scheme", `"SHARED_USERNAME_AND_PASSWORD"`)
		w.raw("userName", `"shared"`)
		w.raw("password", `{"value":"`+secret+`"}`)
		w.raw("revealPassword", "true")
	}
	w.close()
	w.open("settings")
	w.raw("app", `{"instanceType":"PRODUCTION","apiToken":"`+secret+`","domain":"brightwater"}`)
	w.raw("notifications", `{"vpn":{"network":{"connection":"DISABLED"},"message":null}}`)
	w.raw("notes", `{"admin":"the password is `+secret+`","enduser":null}`)
	w.raw("implicitAssignment", strconv.FormatBool(t.implicit))
	if t.mode == "OPENID_CONNECT" {
		w.raw("oauthClient", `{"application_type":"web","grant_types":["authorization_code"],"dpop_bound_access_tokens":true,"client_uri":"https://`+secret+`.example",`+
			`"jwks":{"keys":[{"kty":"EC","kid":"k1","crv":"P-256","d":"`+secret+`"}]}}`)
	}
	w.close()
	w.raw("licensing", `{"seatCount":`+strconv.Itoa(10*i)+`}`)
	w.raw("profile", `{"contact":{"phone":1.50,"key":"`+secret+`"}}`)
	w.open("_links")
	for _, name := range []string{"users", "groups"} {
		w.raw(name, `{"href":"`+o.URL()+"/api/v1/apps/"+id+"/"+name+`"}`)
	}
	w.raw("self", `{"href":"`+o.URL()+"/api/v1/apps/"+id+`"}`)
	w.close()
	w.close()
	return w
}

// showSecret is GET of an app's client secrets. Okta returns them in clear text to
// any client with okta.apps.read, so the request is a violation.
func (o *Org) showSecret(resp *response, r *http.Request, _ *accessToken) error {
	o.stats.addViolation("a request for client secrets: " + r.URL.Path)
	resp.writeRaw([]byte(`[{"id":"ocs1","client_secret":"` + PlantedSecret + `","status":"ACTIVE"}]`))
	return nil
}

// AddApp adds an active SAML app without users and groups, and returns its id.
// [Org.PutApp] adds other apps.
func (o *Org) AddApp(label string) (id string) {
	s := o.apps()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := o.now()
	i := s.additions
	s.additions++
	o.storeLocked(s, o.appendApp(nil, i, template{name: "template_saml_2_0", label: label, mode: "SAML_2_0"}, now.UnixMilli(), now.UnixMilli()),
		"application.lifecycle.create", now)
	return o.appID(i)
}

// PutApp adds an app, or replaces the one with the same id, exactly as given: no
// byte of appJSON is changed. It needs an id and a status.
func (o *Org) PutApp(appJSON []byte) error { return o.put(o.apps(), appJSON, "status") }

// SetApp sets one attribute of an app, such as label, to a JSON value, and
// lastUpdated to the org's time. Use [Org.SetAppActive] for the status.
func (o *Org) SetApp(id, path string, value json.RawMessage) error {
	return o.setAttribute(o.apps(), id, path, value)
}

// SetAppActive activates or deactivates an app. An inactive app loses the users
// who have it only through a group, until it is active again.
func (o *Org) SetAppActive(id string, active bool) error {
	g := o.edges()
	g.Lock()
	defer g.Unlock()
	now, err := o.setActive(o.apps(), id, active, "application.lifecycle.")
	if err == nil {
		g.SetActive(id, active, now.UnixNano())
	}
	return err
}

// DeleteApp deletes an app and its assignments.
func (o *Org) DeleteApp(id string) error {
	g := o.edges()
	g.Lock()
	defer g.Unlock()
	now, err := o.deleteObject(o.apps(), id, "application.lifecycle.delete")
	if err == nil {
		g.RemoveApp(id, now.UnixNano())
	}
	return err
}

// App returns an app as a list shows it now, byte for byte.
func (o *Org) App(id string) ([]byte, bool) { return o.apps().read(id) }

// AppsJSON yields every app by id, as a list shows it, byte for byte.
func (o *Org) AppsJSON() iter.Seq2[string, []byte] { return o.apps().readAll() }
