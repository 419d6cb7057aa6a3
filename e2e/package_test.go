package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// packageSteps are the steps of TestSystemd for the Debian package, from its
// installation to its removal.
var packageSteps = []boxStep{
	{"install the package", packageInstalls},
	{"run the packaged service", packageRuns},
	{"upgrade the package", packageUpgrades},
	{"remove the package", packageRemoves},
}

// buildPackage builds the package of a version with deploy/package/build, and
// returns its content.
func buildPackage(t *testing.T, version string) string {
	t.Helper()
	cmd := exec.Command("../deploy/package/build", version, "", t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	path, err := cmd.Output()
	if err != nil {
		t.Fatalf("build the package: %v\n%s", err, &stderr)
	}
	return read(t, strings.TrimSpace(string(path)))
}

// The services of a new installation are disabled, and the configuration has
// placeholders.
func packageInstalls(t *testing.T, b *box, _ *site) {
	deb := buildPackage(t, "0.9.0")
	// Remove the files of boxFiles.
	b.run("sh", "-c", "rm -rf /etc/systemd/system/oktasync* /usr/bin/oktasync* /etc/oktasync /var/lib/private/oktasync* /var/lib/oktasync*")
	b.run("systemctl", "daemon-reload")
	b.write("/srv/oktasync.deb", deb)
	if out := b.run("dpkg", "--install", "/srv/oktasync.deb"); !strings.Contains(out, "edit /etc/oktasync/oktasync.yaml") {
		t.Errorf("the installation printed %s", out)
	}
	if out := b.run("oktasync", "version"); !strings.HasPrefix(out, "oktasync v0.9.0, ") {
		t.Errorf("version printed %s", out)
	}
	for _, unit := range []string{"oktasync.service", "oktasync-apply.timer"} {
		if out := b.try("systemctl", "is-enabled", unit) + " " + b.try("systemctl", "is-active", unit); out != "disabled inactive" {
			t.Errorf("%s is %s after the installation", unit, out)
		}
	}
	if out := b.try("sh", "-c", "CREDENTIALS_DIRECTORY=/nowhere oktasync validate --config /etc/oktasync/oktasync.yaml"); !strings.Contains(out, "okta.org_url: is a placeholder") ||
		!strings.Contains(out, "okta.client_id") || strings.Count(out, "error:") != 2 {
		t.Errorf("validate printed %s for the installed configuration", out)
	}
	for _, path := range []string{
		"man1/oktasync.1.gz", "man1/oktasync-quarantine-release.1.gz", "man1/oktasync-as-service.1.gz", "../bash-completion/completions/oktasync",
		"../zsh/vendor-completions/_oktasync", "../fish/vendor_completions.d/oktasync.fish", "../doc/oktasync/copyright", "../doc/oktasync/README.md", "../doc/oktasync/docs/check.py", "../doc/oktasync/docs/check_records.py", "../doc/oktasync/changelog.gz",
	} {
		b.run("test", "-s", "/usr/share/man/"+path)
	}
	if out := b.run("mandoc", "/usr/share/man/man1/oktasync-plan.1.gz"); !strings.Contains(out, "oktasync plan") {
		t.Errorf("the manual page is %s", out)
	}
}

// The service is configured as the README describes, for the sandbox org.
func packageRuns(t *testing.T, b *box, s *site) {
	b.write("/etc/oktasync/client-key.pem", read(t, s.path("client-key.pem")))
	b.run("chmod", "600", "/etc/oktasync/client-key.pem")
	b.write("/etc/oktasync/ca.pem", string(s.server.CAPEM()))
	b.run("sed", "-i", "-e", "s|https://yourOktaDomain|"+s.server.URL+"|", "-e", `s|client_id: ""|client_id: `+clientID+"\\n  ca_file: ca.pem|",
		"-e", `s|schedule: .*|schedule: "@every 1s"|`, "/etc/oktasync/oktasync.yaml")
	for command, want := range map[string]string{"validate": "oktasync.yaml is valid", "validate --public-jwk": `"kty": "EC"`, "plan": "the first snapshot"} {
		if out := b.run(append([]string{"oktasync-as-service"}, strings.Fields(command)...)...); !strings.Contains(out, want) {
			t.Errorf("%s printed %s", command, out)
		}
	}
	b.run("systemctl", "enable", "--now", "oktasync")
	b.eventually("the packaged service has published", func() bool { return b.newest().Sequence > 1 })
}

// newest returns the newest manifest of the packaged service.
func (b *box) newest() (m struct {
	Sequence int
	Tool     struct{ Version string }
}) {
	json.Unmarshal([]byte(b.try("cat", "/var/lib/private/oktasync/snapshots/all-users/latest/manifest.json")), &m)
	return m
}

// An upgrade cancels a reconcile. The new program starts it again.
func packageUpgrades(t *testing.T, b *box, s *site) {
	deb := buildPackage(t, "0.9.1")
	b.write("/srv/oktasync.deb", deb)
	var blocking atomic.Bool
	blocking.Store(true)
	requests, block := make(chan struct{}, 1), make(chan struct{})
	s.org.OnRequest(func(int, *http.Request) {
		if blocking.Load() {
			select {
			case requests <- struct{}{}:
			default:
			}
			<-block
		}
	})
	<-requests // a reconcile is under way and can't finish
	before := b.newest()
	output := make(chan string)
	go func() { output <- b.try("dpkg", "--install", "/srv/oktasync.deb") }()
	b.eventually("the reconcile is cancelled", func() bool {
		return strings.Contains(b.try("tail", "-n", "3", "/var/lib/private/oktasync/snapshots/all-users/journal.ndjson"), `"event":"cancelled"`)
	})
	blocking.Store(false)
	close(block)
	if text := <-output; strings.Contains(text, "error") || b.property("oktasync", "ActiveState") != "active" {
		t.Errorf("the upgrade printed %s", text)
	}
	b.eventually("the new program has published", func() bool { return b.newest().Tool.Version == "v0.9.1" })
	if before.Tool.Version != "v0.9.0" {
		t.Errorf("before the upgrade, %s published", before.Tool.Version)
	}
	if out := b.run("oktasync", "verify", "--store", "/var/lib/oktasync/snapshots"); !strings.Contains(out, "OK. ") {
		t.Errorf("verify printed %s", out)
	}
	if b.run("systemctl", "is-enabled", "oktasync") != "enabled" || b.property("oktasync", "NRestarts") != "0" {
		t.Error("the upgrade disabled or restarted the service")
	}
}

// Removing the package keeps the configuration. Purging it keeps the keys and the
// snapshots.
func packageRemoves(t *testing.T, b *box, s *site) {
	b.run("dpkg", "--remove", "oktasync")
	if state := b.try("systemctl", "is-active", "oktasync"); state != "inactive" {
		t.Errorf("the service is %s after the removal", state)
	}
	b.run("test", "-f", "/etc/oktasync/oktasync.yaml")
	out := b.run("dpkg", "--purge", "oktasync")
	for _, kept := range []string{"/var/lib/private/oktasync", "/etc/oktasync"} {
		if !strings.Contains(out, kept+" was kept") {
			t.Errorf("the purge doesn't mention %s: %s", kept, out)
		}
	}
	b.run("test", "-f", "/etc/oktasync/client-key.pem")
	if out := b.try("sh", "-c", "ls -d /etc/oktasync/oktasync.yaml /etc/systemd/system/*/oktasync* /usr/bin/oktasync* /usr/share/doc/oktasync 2>/dev/null"); out != "" {
		t.Errorf("the purge left %s", out)
	}
	b.run("sh", "-c", "cd /var/lib/private/oktasync/snapshots/all-users/latest && sha256sum -c --quiet SHA256SUMS")
}
