package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// packageSteps are for a box with systemd: the Debian package, from its
// installation to its end.
var packageSteps = []boxStep{
	{"the package is installed and waits for its configuration", packageIsInstalled},
	{"the packaged service runs once it is configured", packageRuns},
	{"an upgrade loses no reconcile", packageIsUpgraded},
	{"removal leaves the snapshots", packageIsRemoved},
}

// buildPackage returns the package of a version, as deploy/package/build makes
// it.
func buildPackage(t *testing.T, version string) []byte {
	t.Helper()
	cmd := exec.Command("../deploy/package/build", version, "", t.TempDir())
	var said bytes.Buffer
	cmd.Stderr = &said
	path, err := cmd.Output()
	if err != nil {
		t.Fatalf("build the package: %v\n%s", err, &said)
	}
	data, err := os.ReadFile(strings.TrimSpace(string(path)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func packageIsInstalled(t *testing.T, b *box, _ *site) {
	deb := buildPackage(t, "0.9.0")
	// The box was without a package until now.
	b.run("sh", "-c", "rm -rf /etc/systemd/system/oktasync* /usr/bin/oktasync* /etc/oktasync /var/lib/private/oktasync* /var/lib/oktasync*")
	b.run("systemctl", "daemon-reload")
	b.write("/srv/oktasync.deb", string(deb))
	if said := b.run("dpkg", "--install", "/srv/oktasync.deb"); !strings.Contains(said, "edit /etc/oktasync/oktasync.yaml") {
		t.Errorf("the installation says %s", said)
	}
	if said := b.run("oktasync", "version"); !strings.HasPrefix(said, "oktasync v0.9.0, ") {
		t.Errorf("version says %s", said)
	}
	for _, unit := range []string{"oktasync.service", "oktasync-apply.timer"} {
		if said := b.try("systemctl", "is-enabled", unit) + " " + b.try("systemctl", "is-active", unit); said != "disabled inactive" {
			t.Errorf("%s is %s after the installation", unit, said)
		}
	}
	if said := b.try("sh", "-c", "CREDENTIALS_DIRECTORY=/nowhere oktasync validate --config /etc/oktasync/oktasync.yaml"); !strings.Contains(said, "okta.org_url: holds a placeholder") ||
		!strings.Contains(said, "okta.client_id") || strings.Count(said, "error:") != 2 {
		t.Errorf("as it was installed, the configuration is refused with %s", said)
	}
	for _, path := range []string{
		"man1/oktasync.1.gz", "man1/oktasync-quarantine-release.1.gz", "man1/oktasync-as-service.1.gz", "../bash-completion/completions/oktasync",
		"../zsh/vendor-completions/_oktasync", "../fish/vendor_completions.d/oktasync.fish", "../doc/oktasync/copyright", "../doc/oktasync/README.md", "../doc/oktasync/changelog.gz",
	} {
		b.run("test", "-s", "/usr/share/man/"+path)
	}
	if said := b.run("mandoc", "/usr/share/man/man1/oktasync-plan.1.gz"); !strings.Contains(said, "oktasync plan") {
		t.Errorf("the manual page says %s", said)
	}
}

// As the README has it, with the sandbox org's address, key and certificate.
func packageRuns(t *testing.T, b *box, s *site) {
	key, err := os.ReadFile(s.dir + "/client-key.pem")
	if err != nil {
		t.Fatal(err)
	}
	b.write("/etc/oktasync/client-key.pem", string(key))
	b.run("chmod", "600", "/etc/oktasync/client-key.pem")
	b.write("/etc/oktasync/ca.pem", string(s.server.CAPEM()))
	b.run("sed", "-i", "-e", "s|https://yourOktaDomain|"+s.server.URL+"|", "-e", `s|client_id: ""|client_id: `+clientID+"\\n  ca_file: ca.pem|",
		"-e", `s|schedule: .*|schedule: "@every 1s"|`, "/etc/oktasync/oktasync.yaml")
	for command, want := range map[string]string{"validate": "oktasync.yaml is valid", "validate --public-jwk": `"kty": "EC"`, "plan": "the first snapshot"} {
		if said := b.run(append([]string{"oktasync-as-service"}, strings.Fields(command)...)...); !strings.Contains(said, want) {
			t.Errorf("%s says %s", command, said)
		}
	}
	b.run("systemctl", "enable", "--now", "oktasync")
	b.eventually("the packaged service has published", func() bool { return b.newest().Sequence > 1 })
}

// newest is what the newest manifest says, as a reader on the host sees it.
func (b *box) newest() (m struct {
	Sequence int
	Tool     struct{ Version string }
}) {
	json.Unmarshal([]byte(b.try("cat", "/var/lib/private/oktasync/snapshots/all-users/latest/manifest.json")), &m)
	return m
}

func packageIsUpgraded(t *testing.T, b *box, s *site) {
	deb := buildPackage(t, "0.9.1")
	b.write("/srv/oktasync.deb", string(deb))
	var held atomic.Bool
	held.Store(true)
	reading, hold := make(chan struct{}, 1), make(chan struct{})
	s.org.OnRequest(func(int, *http.Request) {
		if held.Load() {
			select {
			case reading <- struct{}{}:
			default:
			}
			<-hold
		}
	})
	<-reading // a reconcile is under way, and can't end
	before := b.newest()
	said := make(chan string)
	go func() { said <- b.try("dpkg", "--install", "/srv/oktasync.deb") }()
	b.eventually("the reconcile is cancelled", func() bool {
		return strings.Contains(b.try("tail", "-n", "3", "/var/lib/private/oktasync/snapshots/all-users/journal.ndjson"), `"event":"cancelled"`)
	})
	held.Store(false)
	close(hold)
	if text := <-said; strings.Contains(text, "error") || b.property("oktasync", "ActiveState") != "active" {
		t.Errorf("the upgrade says %s", text)
	}
	b.eventually("the new program has made it up", func() bool { return b.newest().Tool.Version == "v0.9.1" })
	if before.Tool.Version != "v0.9.0" {
		t.Errorf("before the upgrade, %s published", before.Tool.Version)
	}
	if said := b.run("oktasync", "verify", "--store", "/var/lib/oktasync/snapshots"); !strings.Contains(said, "everything fits") {
		t.Errorf("verify says %s", said)
	}
	if b.run("systemctl", "is-enabled", "oktasync") != "enabled" || b.property("oktasync", "NRestarts") != "0" {
		t.Error("the upgrade changed more than the program")
	}
}

func packageIsRemoved(t *testing.T, b *box, s *site) {
	b.run("dpkg", "--remove", "oktasync")
	if state := b.try("systemctl", "is-active", "oktasync"); state != "inactive" {
		t.Errorf("the service is %s after the removal", state)
	}
	b.run("test", "-f", "/etc/oktasync/oktasync.yaml")
	said := b.run("dpkg", "--purge", "oktasync")
	for _, kept := range []string{"/var/lib/private/oktasync", "/etc/oktasync"} {
		if !strings.Contains(said, kept+" is left as it is") {
			t.Errorf("the purge says nothing of %s: %s", kept, said)
		}
	}
	b.run("test", "-f", "/etc/oktasync/client-key.pem")
	if said := b.try("sh", "-c", "ls -d /etc/oktasync/oktasync.yaml /etc/systemd/system/*/oktasync* /usr/bin/oktasync* /usr/share/doc/oktasync 2>/dev/null"); said != "" {
		t.Errorf("the purge leaves %s", said)
	}
	b.run("sh", "-c", "cd /var/lib/private/oktasync/snapshots/all-users/latest && sha256sum -c --quiet SHA256SUMS")
}
