package reconcile_test

import (
	"net/http"
	"testing"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// The manifest compares Okta's counts of members with the users and members that were
// read. An app whose role covers half of the groups' members isn't reconciled.
func TestControlTotals(t *testing.T) {
	for _, test := range []struct {
		name       string
		role       string
		members    bool // group_members is declared
		reconciled bool
	}{
		{"all resources", sandbox.RoleReadOnly, true, true},
		{"users and groups", sandbox.RoleReadOnly, false, true},
		{"a role over half of the groups", sandbox.RoleHalf, true, false},
		{"a role over half of the groups, without members", sandbox.RoleHalf, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newApp(t, sandbox.Config{Users: 60, RateLimit: sandbox.Limits(1 << 20)}, test.role)
			client, err := oktaclient.New(oktaclient.Config{OrgURL: a.org.URL(), HTTPClient: &http.Client{Transport: a}})
			if err != nil {
				t.Fatal(err)
			}
			f := newAccessFixture(t, client)
			if !test.members {
				f.export.GroupMembers = nil
			}
			m := f.publish().Manifest
			c := m.Control
			if c == nil || c.Everyone == nil || c.Reconciled != test.reconciled || (c.Groups != nil) != test.members {
				t.Fatalf("control = %+v", c)
			}
			if c.Everyone.Counted != m.Resources["users"].Total || (c.Everyone.Okta == c.Everyone.Counted) != test.reconciled {
				t.Errorf("everyone = %+v", c.Everyone)
			}
			if g := c.Groups; g != nil && (g.Compared != m.Resources["groups"].Total || (len(g.Different) == 0) != test.reconciled) {
				t.Errorf("groups = %+v", g)
			}
		})
	}
}
