package report

import (
	"net/url"
	"slices"
	"strings"
)

// links has the addresses of objects in the Admin Console of an org.
type links struct {
	base string // "https://acme-admin.okta.com"; "": unknown
}

// consoleDomains are the domains of Okta whose orgs have the Admin Console at the name
// of the org with -admin.
var consoleDomains = []string{"okta.com", "oktapreview.com", "okta-emea.com"}

// linksOf returns the links of the org at orgURL.
func linksOf(orgURL string) links {
	u, err := url.Parse(orgURL)
	if err != nil || u.Scheme != "https" || u.Port() != "" {
		return links{}
	}
	name, domain, _ := strings.Cut(u.Hostname(), ".")
	if name == "" || !slices.Contains(consoleDomains, domain) {
		return links{}
	}
	return links{"https://" + name + "-admin." + domain}
}

func (l links) user(id string) string  { return l.to("/admin/user/profile/view/", id) }
func (l links) group(id string) string { return l.to("/admin/group/", id) }

func (l links) to(path, id string) string {
	if l.base == "" || id == "" {
		return ""
	}
	return l.base + path + url.PathEscape(id)
}
