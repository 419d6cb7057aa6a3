package report

import (
	"net/url"
	"strings"

	"oktasync/oktaclient"
)

// links has the addresses of objects in the Admin Console of an org.
type links struct {
	base string // "https://acme-admin.okta.com"; "": unknown
}

// linksOf returns the links of the org at orgURL.
func linksOf(orgURL string) links {
	u, err := url.Parse(orgURL)
	if err != nil || u.Scheme != "https" || u.Port() != "" {
		return links{}
	}
	name, domain, _ := strings.Cut(u.Hostname(), ".")
	console := name + "-admin." + domain
	if _, ok := oktaclient.OfAdminConsole(console); !ok {
		return links{}
	}
	return links{"https://" + console}
}

func (l links) user(id string) string  { return l.to("/admin/user/profile/view/", id) }
func (l links) group(id string) string { return l.to("/admin/group/", id) }

func (l links) to(path, id string) string {
	if l.base == "" || id == "" {
		return ""
	}
	return l.base + path + url.PathEscape(id)
}
