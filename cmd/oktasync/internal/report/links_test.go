package report_test

import (
	"testing"

	"oktasync/cmd/oktasync/internal/report"
)

// Only an org of Okta has the Admin Console at a known address.
func TestLinks(t *testing.T) {
	for org, want := range map[string]string{
		"https://acme.okta.com":        "https://acme-admin.okta.com/admin/user/profile/view/00u1%2F..%3Fx",
		"https://acme.oktapreview.com": "https://acme-admin.oktapreview.com/admin/user/profile/view/00u1%2F..%3Fx",
		"https://acme.okta-emea.com":   "https://acme-admin.okta-emea.com/admin/user/profile/view/00u1%2F..%3Fx",
		"https://acme.okta-gov.com":    "https://acme-admin.okta-gov.com/admin/user/profile/view/00u1%2F..%3Fx",
		"https://acme.trexcloud.com":   "https://acme-admin.trexcloud.com/admin/user/profile/view/00u1%2F..%3Fx",
		"https://acme.okta.mil":        "https://acme-admin.okta.mil/admin/user/profile/view/00u1%2F..%3Fx",
		"http://acme.okta.com":         "",
		"https://acme.okta.com:8443":   "",
		"https://okta.com":             "",
		"https://.okta.com":            "",
		"https://login.acme.example":   "",
		"https://acme.okta.com.evil":   "",
		"https://a.b.okta.com":         "",
		"https://127.0.0.1":            "",
	} {
		if got := report.UserLink(org, "00u1/..?x"); got != want {
			t.Errorf("UserLink(%q) = %q, want %q", org, got, want)
		}
	}
}
