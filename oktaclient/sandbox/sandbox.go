// Package sandbox is an Okta org in memory. It answers as Okta does, checks what
// it is sent at least as strictly, and fails on request, so that a client can be
// tried, demonstrated and tested without an org of one's own.
//
// An [Org] is an [http.Handler]. [Org.Client] calls it in the same process,
// without ports, also in a testing/synctest bubble; [NewServer] puts it behind
// TLS. People are made up from a seed ([Config.Seed]); [Org.Join], [Org.Move] and
// the like change them, [Org.Inject] makes requests fail, and [Org.Stats] says
// whether a client ever did what a correct one never does. An org may have custom
// authorization servers ([Config.AuthServers]), for trying an API of one's own.
//
// What Okta's answers look like is taken from its documentation
// (developer.okta.com: OAuth 2.0 error codes, "Configure OAuth 2.0 Demonstrating
// Proof-of-Possession", "Implement OAuth for Okta with a service app", Users API,
// rate limits, error codes) and from answers that users of live orgs have
// published. Where neither says anything, the sandbox does the strictest thing.
//
// No code for DPoP is shared with any client: proofs and assertions are checked
// by package verify.
package sandbox

import (
	"crypto"
	"time"
)

// Config describes an org. The zero value is an org of nobody, in which no
// client is registered.
type Config struct {
	URL  string // where clients see the org; "": https://acme.okta.example, or what a Server sets
	ID   string // of the org; "": made up from the seed
	Seed int64  // the same seed makes the same people

	Users         int       // how many people the org begins with
	Deprovisioned int       // how many of those are DEPROVISIONED; 0: 5 %, negative: none
	Epoch         time.Time // nothing about them is later; zero: the start of 2026, or now if that is earlier
	Imported      float64   // share of them, 0 to 1, whose lastUpdated lies within a single minute

	Clients     []ClientApp
	AuthServers []AuthServer // custom ones; none: the org has no licence for them

	TokenLife     time.Duration // 0: an hour
	NonceLife     time.Duration // how long a nonce is the newest; 0: 24 h. It is good for three times as long
	NonceEvery    int           // new nonce at the token endpoint after that many uses; the one before stays good
	NonceOnGrant  bool          // send the nonce with every answer of the token endpoint, not only when one is missing
	APINonceEvery int           // > 0: the API demands nonces as well, new after that many uses
	APINonceCode  int           // the status of that demand: 401, or 400; 0: 401
	APINonceBody  bool          // say so in a JSON body instead of WWW-Authenticate

	ClockOffset time.Duration // of the org's clock to this machine's
	Latency     time.Duration // added to every request
	GroupLimit  int           // the most groups of a page; 0: 10,000, as documented. Some orgs have 200
	IndexLag    time.Duration // how late filter, search and q see a change
	CursorLife  time.Duration // 0: for ever

	// RateLimit is requests a minute by bucket, as "/api/v1/users",
	// "/api/v1/users/{id}", "/api/v1/logs", "/api/v1"; an exact match goes first,
	// then the longest prefix. Nil is [WorkforceLimits]. ClientShare is how much
	// of each a single client may take; 0: half. Concurrency is how many requests
	// may be in flight; 0: 75.
	RateLimit   map[string]int
	ClientShare float64
	Concurrency int

	OffsetCursors        bool // cursors count users, so that a list shifts under whoever pages through it
	JoinLinks            bool // Link headers in one line
	LowerCaseLinks       bool
	DuplicateRateHeaders bool // each sent twice, as has been seen
	CachePages           bool // keep compressed pages; costs 0.2 kB a user
	ReadOnly             bool // maintenance: reads and tokens only
	Control              bool // serve /sandbox/

	Certificate Certificate // of a [Server]
}

// Certificate says what is odd about the certificate that a [Server] shows. The
// zero value is a good one.
type Certificate struct {
	Issuer string    // name of the CA; "": oktasync sandbox CA
	Host   string    // the one name in it; "": those that the server is reached by
	Until  time.Time // zero: for a year
}

// ClientApp is a service app in the org.
type ClientApp struct {
	ID          string
	Keys        []PublicKey
	RequireDPoP bool     // "Require DPoP header in token requests"; on in new apps at Okta
	Scopes      []string // of Okta's API, granted to the app
	Role        string   // what the app may see
}

// PublicKey is one key of an app: an *ecdsa.PublicKey or *rsa.PublicKey.
type PublicKey struct {
	KID string
	Key crypto.PublicKey
}

// Roles of an app. Scopes say what a token may do, a role says with whom.
const (
	RoleReadOnly  = ""          // everybody
	RoleNone      = "none"      // none, and Okta answers 200 []
	RoleForbidden = "forbidden" // none, and Okta answers 403 E0000006; both occur
)

const groupRole = "group:"

// RoleGroup is a role over one department: lists contain only its people and its
// group, and no response says that they are partial.
func RoleGroup(department string) string { return groupRole + department }

// WorkforceLimits are Okta's last published limits for Workforce orgs, requests
// a minute.
func WorkforceLimits() map[string]int {
	return map[string]int{"/api/v1/users": 600, "/api/v1/users/{id}": 2000, "/api/v1/groups": 500, "/api/v1/groups/{id}": 1000,
		"/api/v1/logs": 120, "/api/v1": 1200}
}

// Limits sets every bucket to perMinute.
func Limits(perMinute int) map[string]int {
	limits := WorkforceLimits()
	for bucket := range limits {
		limits[bucket] = perMinute
	}
	return limits
}

// The defaults of Config.
const (
	defaultURL         = "https://acme.okta.example"
	defaultTokenLife   = time.Hour
	defaultNonceLife   = 24 * time.Hour
	defaultClientShare = 0.5
	defaultConcurrency = 75
)

func (c *Config) setDefaults() {
	if c.URL == "" {
		c.URL = defaultURL
	}
	if c.Deprovisioned == 0 {
		c.Deprovisioned = c.Users / 20
	}
	c.Deprovisioned = min(max(c.Deprovisioned, 0), c.Users)
	if c.Epoch.IsZero() {
		c.Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if now := time.Now().Add(c.ClockOffset); now.Before(c.Epoch) {
			c.Epoch = now
		}
	}
	if c.TokenLife <= 0 {
		c.TokenLife = defaultTokenLife
	}
	if c.NonceLife <= 0 {
		c.NonceLife = defaultNonceLife
	}
	if c.APINonceCode == 0 {
		c.APINonceCode = 401
	}
	if c.RateLimit == nil {
		c.RateLimit = WorkforceLimits()
	}
	if c.ClientShare <= 0 {
		c.ClientShare = defaultClientShare
	}
	if c.Concurrency <= 0 {
		c.Concurrency = defaultConcurrency
	}
}
