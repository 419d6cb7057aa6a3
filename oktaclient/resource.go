package oktaclient

import (
	"time"
)

// Strategy is how the list of a resource is divided into requests.
type Strategy int

const (
	// Pages reads one list, page by page along its next links.
	Pages Strategy = iota

	// Spans reads ranges of lastUpdated, several at a time. A client with a
	// concurrency of 1 reads Pages instead.
	Spans

	// PerParent reads one list for each of Query.Parents, several at a time.
	PerParent

	// Roles reads the roles of all administrators. Only [RoleAssignments] has it.
	Roles
)

// Resource describes how a kind of object is read: from a list at Path, and one
// by one at Path/{id}. With PerParent, Path contains "{parent}". With Roles, Path is the
// first list that is read.
type Resource struct {
	Name     string // "users", as in the transcript
	Path     string // of the list: "/api/v1/users"
	Strategy Strategy
	PageSize int  // most records per page
	Unpaged  bool // Okta returns the whole list in one response, and ignores limit

	hasStatus  bool   // each record has a status
	omitted    string // the status of the records that the plain list omits
	filterable bool   // a filter can select records by lastUpdated and id
	minPage    int    // records of the smallest page that is requested after failures
	minLimit   int    // records of the smallest page that Okta accepts
}

// Bucket returns the rate-limit bucket of the lists of r, as in [Limit].
func (r Resource) Bucket() string { return bucketOf(r.Path) }

// Users are the people of an org. Okta's plain list omits the users with the
// status DEPROVISIONED.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/User/.
var Users = Resource{
	Name: "users", Path: "/api/v1/users", Strategy: Spans, PageSize: 200,
	hasStatus: true, omitted: "DEPROVISIONED", filterable: true,
}

// Groups are the groups of an org, without their members. Okta allows pages of
// 10,000 groups, but advises 200.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/Group/.
var Groups = Resource{Name: "groups", Path: "/api/v1/groups", PageSize: 200, filterable: true, minPage: 25}

// GroupMembers are the members of each group: users with all their attributes, also
// those with the status DEPROVISIONED.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/Group/.
var GroupMembers = Resource{Name: "group_members", Path: "/api/v1/groups/{parent}/users", Strategy: PerParent, PageSize: 1000, minPage: 200}

// GroupRules are the rules that add users to groups.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/GroupRule/.
var GroupRules = Resource{Name: "group_rules", Path: "/api/v1/groups/rules", PageSize: 200, hasStatus: true, minPage: 25}

// Apps are the app instances of an org, also those with the status INACTIVE.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/Application/.
var Apps = Resource{Name: "apps", Path: "/api/v1/apps", PageSize: 200, hasStatus: true, minPage: 25}

// AppUsers are the users who are assigned to each app, directly or through a group.
// The ID of a record is that of the user.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/ApplicationUsers/.
var AppUsers = Resource{Name: "app_users", Path: "/api/v1/apps/{parent}/users", Strategy: PerParent, PageSize: 500, hasStatus: true, minPage: 50}

// AppGroups are the groups that are assigned to each app. The ID of a record is that
// of the group. Okta rejects pages of fewer than 20 records.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/ApplicationGroups/.
var AppGroups = Resource{Name: "app_groups", Path: "/api/v1/apps/{parent}/groups", Strategy: PerParent, PageSize: 200, minPage: 20, minLimit: 20}

// unpagedSize is more than the records of a list without pages.
const unpagedSize = 10_000

// Factors are the enrolled factors of each user, as far as Okta's policies list them. A
// user with the status DEPROVISIONED has no list: Okta answers 404.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/UserFactor/.
var Factors = Resource{Name: "factors", Path: "/api/v1/users/{parent}/factors", Strategy: PerParent, PageSize: unpagedSize, minPage: unpagedSize, minLimit: unpagedSize, Unpaged: true, hasStatus: true}

// APITokens are the active API tokens of an org, without their values.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/ApiToken/.
var APITokens = Resource{Name: "api_tokens", Path: "/api/v1/api-tokens", PageSize: unpagedSize, minPage: unpagedSize, minLimit: unpagedSize, Unpaged: true}

// timeLayout is how Okta writes times. Such texts sort like their times.
const timeLayout = "2006-01-02T15:04:05.000Z"

// milliseconds returns a lastUpdated in milliseconds since 1970.
func milliseconds(lastUpdated string) (ms int64, ok bool) {
	t, err := time.Parse(timeLayout, lastUpdated)
	return t.UnixMilli(), err == nil
}
