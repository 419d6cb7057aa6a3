// Package sandbox is an Okta org in memory, for tests and demonstrations. It is at
// least as strict as Okta, and can inject faults. The tests of all packages that
// send requests to Okta use it. So do the commands oktasync sandbox and oktasync
// demo.
//
// An [Org] is an [http.Handler]. [Org.Client] calls it in the same process, also
// in a testing/synctest bubble; [NewServer] serves it over TLS. Its users, groups,
// apps, memberships and assignments are generated from a seed ([Config.Seed]). Methods
// such as [Org.Join], [Org.Move] and [Org.AddMember] change the org. [Org.Edges] returns
// the memberships and assignments that existed at a time, and [Org.EdgesOf] returns
// every version of them. [Org.Inject] makes requests fail. [Org.Stats] returns the
// violations: requests that a correct client never sends.
//
// Start reading at Org.ServeHTTP in routes.go. rules_test.go lists the rules that the
// sandbox enforces. They come from Okta's documentation (developer.okta.com: OAuth
// 2.0 error codes, "Configure OAuth 2.0 Demonstrating Proof-of-Possession",
// "Implement OAuth for Okta with a service app", Users API, Groups API, rate limits,
// error codes) and from published responses of live orgs. If neither is clear, the
// sandbox applies the strictest rule.
//
// The sandbox shares no code for DPoP with a client. Package verify checks proofs
// and assertions.
package sandbox

import (
	"crypto"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config describes an org. The zero value is an org without users and clients.
type Config struct {
	URL  string // the org's URL for clients; "": https://acme.okta.example. A Server sets its own
	ID   string // of the org; "": generated from the seed
	Seed int64  // the same seed generates the same users and groups

	Users         int       // number of users at the start
	Deprovisioned int       // how many of them are DEPROVISIONED; 0: 5 %, negative: none
	Epoch         time.Time // the latest time of users and groups at the start; zero: the start of 2026, or now if that is earlier
	Imported      float64   // share of users, 0 to 1, whose lastUpdated is in the same minute
	Groups        int       // number of groups at the start; at least 13
	Memberships   int       // of users in groups other than Everyone at the start; 0: few
	Apps          int       // number of apps at the start; 0: 12
	Assignments   int       // of users to apps at the start; 0: a few per user

	Clients     []ClientApp
	AuthServers []AuthServer // custom ones; none: the org has no license for custom servers

	TokenLife     time.Duration // 0: an hour
	NonceLife     time.Duration // time until the next nonce; 0: 24 h. Each is valid for three times as long
	NonceEvery    int           // uses of a nonce at the token endpoint until the next one; the previous one stays valid
	NonceOnGrant  bool          // every response of the token endpoint has the nonce, even if the request was valid
	APINonceEvery int           // > 0: the API requires nonces too; uses until the next one
	APINonceCode  int           // status of the error that requires a nonce: 401 or 400; 0: 401
	APINonceBody  bool          // that error has a JSON body instead of WWW-Authenticate

	ClockOffset time.Duration // the org's clock minus this machine's
	Latency     time.Duration // added to every request
	GroupLimit  int           // the most groups of a page; 0: 10,000, as documented. Some orgs have 200
	MemberLimit int           // the largest page of members that the org can serve; a larger one gets status 500. 0: 1,000
	GroupStats  GroupStats    // defects of the counts in a list of groups with expand=stats
	IndexLag    time.Duration // delay until filter, search and q show a change
	MemberLag   time.Duration // the longest delay until a list of members shows a change; Okta: 3 s
	StampLag    time.Duration // the longest delay until a group shows a change of lastMembershipUpdated; Okta: 10 s
	CursorLife  time.Duration // 0: unlimited

	// RateLimit is the number of requests per minute of each bucket, such as
	// "/api/v1/users", "/api/v1/users/{id}" or "/api/v1". The bucket of a path is the
	// exact match, else the longest prefix. Nil is [WorkforceLimits]. ClientShare is
	// the part of it that each client can use; 0: half. Concurrency is the maximum
	// number of requests in flight; 0: 75.
	RateLimit   map[string]int
	ClientShare float64
	Concurrency int

	OffsetCursors        bool // cursors count objects, so that pages shift after a deletion
	JoinLinks            bool // all links in one Link header
	LowerCaseLinks       bool
	DuplicateRateHeaders bool     // each is sent twice, as some orgs have done
	CachePages           bool     // keep compressed pages; costs 0.2 kB per user
	DirectAssignees      bool     // the list of administrators has only users with a role of their own
	ReadOnly             bool     // maintenance: reads and tokens only
	Unlicensed           []string // paths such as /api/v1/groups/rules that return 401 E0000015
	Control              bool     // serve /sandbox/

	Certificate Certificate // of a [Server]
}

// GroupStats describes the counts of expand=stats.
type GroupStats struct {
	Missing bool          // a third of the groups have none
	Wrong   bool          // usersCount of a third of the groups is one too high
	Delay   time.Duration // of each group in a page
	Limit   int           // the largest page that the org can serve; a larger one gets status 500. 0: unlimited
}

// Certificate is the certificate of a [Server]. The zero value is a valid one.
type Certificate struct {
	Issuer string    // name of the CA; "": oktasync sandbox CA
	Host   string    // its only name; "": the server's address and loopback
	Until  time.Time // end of its validity; zero: in a year
}

// ClientApp is a service app in the org.
type ClientApp struct {
	ID          string
	Keys        []PublicKey
	RequireDPoP bool     // "Require DPoP header in token requests"; the default of new apps at Okta
	Scopes      []string // of Okta's API, granted to the app
	Role        string   // the users and groups that the app can read
	Permissions []string // of a custom role over the whole org, such as okta.users.apitokens.read
}

// PublicKey is one key of an app: an *ecdsa.PublicKey or *rsa.PublicKey.
type PublicKey struct {
	KID string
	Key crypto.PublicKey
}

// Roles of an app. Scopes limit the actions of a token, and a role limits their
// objects.
const (
	RoleReadOnly  = ""          // all users and groups
	RoleNone      = "none"      // none: lists of users and groups are empty
	RoleForbidden = "forbidden" // none: the API returns 403 E0000006. Live orgs return one or the other

	// RoleHalf covers the BUILT_IN groups, about half of the other groups, and the
	// members of those. Lists contain nothing else, and no response shows this.
	RoleHalf = "half"
)

const groupRole = "group:"

// RoleGroup is a role over one department: lists contain only its people and its
// group, and no response shows that they are partial.
func RoleGroup(department string) string { return groupRole + department }

// WorkforceLimits returns Okta's last published limits for Workforce orgs, in
// requests per minute.
func WorkforceLimits() map[string]int {
	return map[string]int{"/api/v1/users": 600, "/api/v1/users/{id}": 2000, "/api/v1/groups": 500, "/api/v1/groups/{id}": 1000,
		"/api/v1/apps": 100, "/api/v1/apps/{id}": 500, "/api/v1/logs": 120, "/api/v1/iam": 200, "/oauth2/v1/clients": 100, "/api/v1": 1200}
}

// Limits returns limits with perMinute in every bucket.
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

// AuthServer is a custom authorization server ("API Access Management"). Its tokens
// are for an API of the org's owner, and Okta's API rejects them. The server's
// issuer is the org's URL and /oauth2/{ID}. Below this path are the endpoints for
// tokens, metadata and keys.
type AuthServer struct {
	ID        string              // "default", or generated by Okta: "aus…"
	Audience  string              // aud of its tokens: the identifier of the API
	Scopes    []string            // the scopes that it can grant; none of Okta's API
	Policies  map[string][]string // scopes that each client can get, by client ID; nil: all
	TokenLife time.Duration       // 0: as in Config
}

func (c AuthServer) check() error {
	switch {
	case c.ID == "" || c.ID == "v1" || strings.ContainsAny(c.ID, "/?#%"):
		return fmt.Errorf("authorization server %q: its ID must be a part of a path", c.ID)
	case c.Audience == "":
		return fmt.Errorf("authorization server %s: no audience", c.ID)
	case slices.ContainsFunc(c.Scopes, func(s string) bool { return strings.HasPrefix(s, "okta.") }):
		return fmt.Errorf("authorization server %s: only the org's own server can grant scopes of Okta's API", c.ID)
	}
	return nil
}

// tokenPath is the token endpoint of the org's own authorization server.
const tokenPath = ownPath + "/v1/token"

// clientsPath is the prefix of the API of service clients.
const clientsPath = ownPath + "/v1/clients/"

const ownPath = "/oauth2"

// isTokenPath reports whether path is a token endpoint, also of a custom server.
func isTokenPath(path string) bool {
	return strings.HasPrefix(path, ownPath+"/") && strings.HasSuffix(path, "/v1/token")
}

func isAPIRequest(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, clientsPath)
}

// pathPattern returns path with {id} instead of each id, and the ids.
func pathPattern(path string) (pattern string, ids []string) {
	part := strings.Split(path, "/") // "", api, v1, groups, an id, users, an id
	at := 4
	if len(part) <= at {
		return path, nil
	}
	switch kind := part[3]; {
	case strings.HasPrefix(path, clientsPath):
	case part[1] != "api":
		return path, nil
	case kind == "groups" && part[at] == "rules", kind == "iam" && part[at] != "assignees":
		at++
	case !slices.Contains([]string{"users", "groups", "apps", "api-tokens"}, kind):
		return path, nil
	}
	for ; at < len(part) && part[at] != ""; at += 2 {
		if part[at-1] == "credentials" || part[at-1] == "targets" {
			break
		}
		ids = append(ids, part[at])
		part[at] = "{id}"
	}
	return strings.Join(part, "/"), ids
}

// Fault is a failure to inject. It occurs at the Nth request under Path after
// Inject; Nth 0 means 1. With Every, it also occurs at each Every-th request after
// that one, and with Forever at all of them. The other fields describe the failure,
// and can be combined. Except with Reset, the org checks and serves the request
// first: it records the proof as used, and counts violations.
type Fault struct {
	Path    string // a prefix, with {id} for any id, or a whole path with $ at its end; "": the API; "token": the org's own token endpoint
	Nth     int
	Every   int
	Forever bool

	Status     int           // an error with this status instead of the response
	Code       string        // Okta's code of the error; "": the usual one of the status
	RetryAfter time.Duration // with 429: time until Reset (0: 1 s), also as Retry-After, which Okta never sends
	Busy       bool          // the 429 for too many concurrent requests: limit and remaining are 0
	HTML       bool          // a page of a proxy in front of Okta; Status 0: 502
	Redirect   string        // a 302 to this URL
	Next       string        // the defect of the next link: NextLoop, …
	BrokenJSON bool          // the body ends within a value, without an error of the connection
	CutAfter   int           // the connection breaks after this number of bytes of the body as sent
	Stall      time.Duration // delay of the response, or of the rest of it after CutAfter bytes; < 0: forever
	Reset      bool          // the connection breaks, and the org serves nothing
	Lose       bool          // the connection breaks after the org has served the request

	RevokeToken bool // the request's token is revoked before it is served
	RotateNonce bool // all nonces become stale before the request is served
	NoNonce     bool // the response has no DPoP-Nonce
	Bearer      bool // at the token endpoint: token_type is always Bearer
}

// Values of [Fault.Next].
const (
	NextLoop      = "loop"       // it points to the page that contains it
	NextOtherHost = "other-host" // it points to [OtherHost]
	NextEmpty     = "empty"      // the last page has one, to an empty page
	NextShort     = "short"      // pages have fewer objects than the limit
)

// Nexts returns all values of [Fault.Next].
func Nexts() []string { return []string{NextLoop, NextOtherHost, NextEmpty, NextShort} }

// OtherHost is the host of a next link with [NextOtherHost]. It doesn't exist
// (RFC 2606), and [Org.Client] counts each request to it as a violation.
const OtherHost = "elsewhere.invalid"

// Stats counts the requests that an org has received. A violation is a
// request that a correct client never sends: a proof or an assertion that is used
// twice, a proof for another URL, a token without its proof, a request other than
// GET. A missing or stale nonce isn't a violation, and neither is an expired or
// revoked token.
type Stats struct {
	Requests    int            `json:"requests"` // without those to /sandbox/
	API         int            `json:"api"`
	Token       int            `json:"token"`
	Grants      int            `json:"grants"`
	Challenges  int            `json:"challenges"` // responses that require a nonce
	RateLimited int            `json:"rate_limited"`
	TooMany     int            `json:"too_many"`      // 429 for too many concurrent requests
	MaxInFlight int            `json:"max_in_flight"` // most concurrent requests
	Faults      int            `json:"faults"`        // injected faults that occurred
	ByStatus    map[int]int    `json:"by_status"`
	ByPath      map[string]int `json:"by_path"` // "/api/v1/users/{id}" for all ids
	Violations  []string       `json:"violations"`
}

const (
	maxViolations = 100  // then "and more"
	maxPaths      = 1000 // of ByPath
)

type stats struct {
	mu       sync.Mutex
	inFlight int
	Stats
}

// begin counts a request, and returns how many are in flight, with this one.
func (s *stats) begin(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Requests++
	switch {
	case isTokenPath(r.URL.Path):
		s.Token++
	case isAPIRequest(r):
		s.API++
	}
	if s.ByPath == nil {
		s.ByPath = map[string]int{}
	}
	if len(s.ByPath) < maxPaths {
		pattern, _ := pathPattern(r.URL.Path)
		s.ByPath[pattern]++
	}
	s.inFlight++
	s.MaxInFlight = max(s.MaxInFlight, s.inFlight)
	return s.inFlight
}

func (s *stats) end() { s.add(func(*Stats) { s.inFlight-- }) }

func (s *stats) addStatus(status int) {
	s.add(func(s *Stats) {
		if s.ByStatus == nil {
			s.ByStatus = map[int]int{}
		}
		s.ByStatus[status]++
	})
}

func (s *stats) addViolation(violation string) {
	s.add(func(s *Stats) {
		switch {
		case len(s.Violations) < maxViolations:
			s.Violations = append(s.Violations, violation)
		case len(s.Violations) == maxViolations:
			s.Violations = append(s.Violations, "and more")
		}
	})
}

// add calls f with the counts, locked.
func (s *stats) add(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.Stats)
}
