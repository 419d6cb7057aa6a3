package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"oktasync/cmd/oktasync/internal/doctor"
	"oktasync/oktaclient/sandbox"
)

// findings returns the findings of doctor, by ID, after a change to a sandbox org.
// e2e/doctor_states_test.go tests the misconfigurations of an org.
func findings(t *testing.T, change func(*sandboxSite), args ...string) map[string]doctor.Finding {
	t.Helper()
	site, err := newSandboxSite(t.TempDir(), "127.0.0.1:0", sandbox.Config{Users: 50}, sandbox.ClientApp{RequireDPoP: true, Scopes: sandboxScopes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.close() })
	change(site)
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "DIR", site.dir)
	}
	var out, errs bytes.Buffer
	run(t.Context(), append([]string{"doctor", "--json", "--config", site.config}, args...), &out, &errs)
	var list []doctor.Finding
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	found := map[string]doctor.Finding{}
	for _, f := range list {
		found[f.ID] = f
	}
	if len(found) != len(doctor.Checks) {
		t.Errorf("findings = %d, want one for each of %d checks", len(found), len(doctor.Checks))
	}
	return found
}

func fault(text string) func(*sandboxSite) {
	return func(s *sandboxSite) {
		f, err := sandbox.ParseFault(text)
		if err != nil {
			panic(err)
		}
		s.org.Inject(f)
	}
}

// renamed registers the app's key with another kid.
func renamed(s *sandboxSite) {
	app := sandbox.ClientApp{ID: sandboxClientID, RequireDPoP: true, Scopes: sandboxScopes,
		Keys: []sandbox.PublicKey{{KID: s.key.Thumbprint(), Key: s.key.Public()}}}
	app.Keys[0].KID = "other"
	s.org.Register(app)
}

func TestDoctorAfterFaults(t *testing.T) {
	for _, test := range []struct{ fault, id, status, seen string }{
		{"path=/,redirect=https://elsewhere.example/x,forever", "org", doctor.Failed, "redirects to https://elsewhere.example"},
		{"path=/.well-known,status=502", "org", doctor.Failed, "status 502"},
		{"path=/.well-known,status=404", "org", doctor.OK, "is an Okta org"},
		{"path=/.well-known,lose", "tls", doctor.Failed, "no response"},
		{"path=token,html,status=200,forever", "token_endpoint", doctor.Failed, "malformed"},
		{"path=token,status=400,code=unauthorized_client,forever", "client_id", doctor.Failed, "is not a service app"},
		{"path=token,status=400,code=invalid_dpop_proof,forever", "dpop", doctor.Failed, "rejects the proof"},
		{"path=token,status=400,code=invalid_scope,forever", "scopes", doctor.Failed, "no requested scope"},
		{"path=token,rotate-nonce,forever", "nonce", doctor.Failed, "requires a nonce"},
		{"status=404,code=E0000008,forever", "api", doctor.Failed, "404 E0000008"},
		{"broken-json,forever", "api", doctor.Failed, "is not a list of users"},
		{"cut=20,forever", "api", doctor.Failed, "cut short"},
		{"next=other-host,forever", "api", doctor.Failed, "another origin"},
		{"busy,forever", "rate_limit", doctor.Failed, "in flight"},
		{"html,status=403,forever", "network_zone", doctor.Failed, "the API rejects this address"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			f := findings(t, fault(test.fault))[test.id]
			if f.Status != test.status || !strings.Contains(f.Seen, test.seen) || (f.Status == doctor.Failed) != (f.Remedy != "") {
				t.Errorf("finding = %+v, want %s with %q", f, test.status, test.seen)
			}
		})
	}
}

// doctor --key accepts a key without a kid if the app has no other key. Otherwise the
// kid must be the key's thumbprint.
func TestDoctorChecksANewKey(t *testing.T) {
	nothing := func(*sandboxSite) {}
	if f := findings(t, nothing, "--key", "DIR/client-key.pem")["key_known"]; f.Status != doctor.OK || !strings.Contains(f.Seen, "set okta.private_key_id too") {
		t.Errorf("a key with a kid: %+v", f)
	}
	if f := findings(t, renamed, "--key", "DIR/client-key.pem")["key_known"]; f.Status != doctor.OK || !strings.Contains(f.Seen, "has no other key") {
		t.Errorf("the app's only key, with another kid: %+v", f)
	}
	if f := findings(t, nothing, "--key", "DIR/ca.pem")["client_key"]; f.Status != doctor.Failed {
		t.Errorf("a file that is no key: %+v", f)
	}
	if f := findings(t, func(s *sandboxSite) {
		s.org.Register(sandbox.ClientApp{ID: sandboxClientID, Keys: []sandbox.PublicKey{{KID: "another", Key: s.key.WithID("").Public()}}[:0]})
	}, "--key", "DIR/client-key.pem")["key_known"]; f.Status != doctor.Failed || !strings.Contains(f.Remedy, "validate --public-jwk --key ") {
		t.Errorf("a key that the app lacks: %+v", f)
	}
}

// A doctor that a signal stops reports no failure.
func TestDoctorIsStopped(t *testing.T) {
	site, err := newSandboxSite(t.TempDir(), "127.0.0.1:0", sandbox.Config{Users: 5}, sandbox.ClientApp{RequireDPoP: true, Scopes: sandboxScopes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.close() })
	fault("stall,forever")(site)
	ctx, stop := context.WithCancel(t.Context())
	site.org.OnRequest(func(int, *http.Request) { stop() })
	var out, errs bytes.Buffer
	if status := run(ctx, []string{"doctor", "--config", site.config}, &out, &errs); status != exitFailed || strings.Contains(out.String(), "FAILED") ||
		errs.String() != "oktasync: error: stopped by a signal before it was done\n" {
		t.Errorf("status %d:\n%s%s", status, out.String(), errs.String())
	}
}
