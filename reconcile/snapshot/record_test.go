package snapshot_test

import (
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

func TestRecord(t *testing.T) {
	for _, test := range []struct {
		name         string
		resource     *snapshot.Resource
		parent       string
		object, want string
	}{
		{"a user is kept as it is", snapshot.Users, "",
			`{"status": "ACTIVE", "id": "00u1", "profile": {"login": "a@x", "shoe": 41.0}}`,
			`{"id":"00u1","profile":{"login":"a@x","shoe":41.0},"status":"ACTIVE"}`},
		{"a member is reduced to its id", snapshot.GroupMembers, "00g1",
			` { "status":"ACTIVE", "id" : "00u1", "profile":{"login":"a@x"}, "credentials":{"password":{"value":"s3cret"}}}`,
			`{"group_id":"00g1","user_id":"00u1"}`},
		{"an app without credentials, keys and settings", snapshot.Apps, "",
			`{"id":"0oa1","label":"Mail","status":"ACTIVE","signOnMode":null,"features":[],"accessibility":{"selfService":false,"errorRedirectUrl":"https://x"},
			"credentials":{"signing":{"kid":"k1","use":"sig"},"userName":"shared","password":{"value":"s3cret"},"revealPassword":true,
			"oauthClient":{"client_id":"0oa1","client_secret":"s3cret","token_endpoint_auth_method":"none"},"userNameTemplate":{"template":"${source.login}","type":"BUILT_IN"}},
			"settings":{"app":{"apiKey":"s3cret"},"notes":{"admin":"s3cret"},"implicitAssignment":true,
			"oauthClient":{"jwks":{"keys":[{"d":"s3cret"}]},"grant_types":["client_credentials"],"redirect_uris":["https://x"]}},
			"profile":{"token":"s3cret"},"visibility":{"hide":{"web":true},"appLinks":{"x":true}},"_links":{}}`,
			`{"accessibility":{"selfService":false},"credentials":{"oauthClient":{"client_id":"0oa1","token_endpoint_auth_method":"none"},` +
				`"signing":{"kid":"k1"},"userNameTemplate":{"template":"${source.login}","type":"BUILT_IN"}},"features":[],"id":"0oa1","label":"Mail",` +
				`"settings":{"implicitAssignment":true,"oauthClient":{"grant_types":["client_credentials"]}},"signOnMode":null,"status":"ACTIVE",` +
				`"visibility":{"hide":{"web":true}}}`},
		{"an app user without profile and password", snapshot.AppUsers, "0oa1",
			`{"id":"00u1","externalId":null,"created":"c","lastUpdated":"l","scope":"GROUP","status":"PROVISIONED","statusChanged":"s","passwordChanged":null,
			"syncState":"SYNCHRONIZED","lastSync":"y","credentials":{"userName":"a@\u0078","password":{}},"profile":{"securityAnswer":"s3cret"},"_links":{}}`,
			`{"app_id":"0oa1","created":"c","externalId":null,"lastSync":"y","lastUpdated":"l","passwordChanged":null,"scope":"GROUP","status":"PROVISIONED",` +
				`"statusChanged":"s","syncState":"SYNCHRONIZED","user_id":"00u1","username":"a@x"}`},
		{"an app user without credentials", snapshot.AppUsers, "0oa1", `{"id":"00u1","credentials":null,"status":"IMPORTED"}`,
			`{"app_id":"0oa1","status":"IMPORTED","user_id":"00u1"}`},
		{"an app group without its profile", snapshot.AppGroups, "0oa1",
			`{"id":"00g1","priority":0,"lastUpdated":"l","profile":{"role":"admin"},"_links":{}}`,
			`{"app_id":"0oa1","group_id":"00g1","lastUpdated":"l","priority":0}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.resource.Record([]byte("kept"), test.parent, []byte(test.object))
			if err != nil || string(got) != "kept"+test.want {
				t.Fatalf("Record() = %s, %v, want %s", got, err, test.want)
			}
			if again, err := test.resource.Record(nil, test.parent, []byte(strings.ReplaceAll(test.object, `00u1`, `00u2`))); err != nil ||
				string(again) != strings.ReplaceAll(test.want, `00u1`, `00u2`) {
				t.Errorf("Record() of another object = %s, %v", again, err)
			}
		})
	}
}

func TestRecordFails(t *testing.T) {
	for _, test := range []struct {
		resource *snapshot.Resource
		parent   string
		object   string
	}{
		{snapshot.Groups, "", `{"id":"00g1","id":"00g2"}`},
		{snapshot.GroupMembers, "00g1", `{"profile":{"login":`},
		{snapshot.GroupMembers, "00g1", `[]`},
		{snapshot.GroupMembers, "\xff", `{"id":"00u1"}`},
		{snapshot.Apps, "", `{"label":`},
		{snapshot.AppUsers, "0oa1", `{"id":"00u1","scope":`},
	} {
		got, err := test.resource.Record([]byte("kept"), test.parent, []byte(test.object))
		if err == nil || string(got) != "kept" {
			t.Errorf("Record(%q, %s) = %s, %v, want an error", test.parent, test.object, got, err)
		}
	}
}

// The declaration of an edge lists its members in canonical order.
func TestRecordsOfEdgesAreCanonical(t *testing.T) {
	for _, r := range snapshot.Resources() {
		if r.Other == nil {
			continue
		}
		object := `{"id":"x1","credentials":{"userName":"u"},"created":1,"externalId":2,"lastSync":3,"lastUpdated":4,"passwordChanged":5,"scope":6,` +
			`"status":7,"statusChanged":8,"syncState":9,"priority":10}`
		record, err := r.Record(nil, "p1", []byte(object))
		if err != nil {
			t.Fatal(err)
		}
		users := &snapshot.Resource{}
		if again, err := users.Record(nil, "", record); err != nil || string(again) != string(record) {
			t.Errorf("the record of %s is %s, and %s (%v) in canonical form", r.Name, record, again, err)
		}
		if key, err := r.AppendKey(nil, record); err != nil || string(key) != "p1\x00x1" {
			t.Errorf("the key of %s is %q, %v", record, key, err)
		}
	}
}

func BenchmarkRecordOfAMember(b *testing.B) {
	object := []byte(`{"id":"00u00000000000000001","status":"ACTIVE","profile":{"login":"` + strings.Repeat("x", 1000) + `"}}`)
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = snapshot.GroupMembers.Record(dst[:0], "00g1", object); err != nil {
			b.Fatal(err)
		}
	}
}
