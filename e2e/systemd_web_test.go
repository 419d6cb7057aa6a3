package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// systemdServesTLS configures TLS and users as docs/web.md describes for systemd.
func systemdServesTLS(t *testing.T, b *box, s *site) {
	roots := s.webCertificate(t)
	dropIn := "[Service]\n"
	for name, text := range map[string]string{
		"web.yaml":     webTLS + webUsers,
		"web-cert.pem": read(t, s.path("web-cert.pem")),
		"web-key.pem":  read(t, s.path("web-key.pem")),
	} {
		b.write("/etc/oktasync/"+name, text)
		dropIn += "LoadCredential=" + name + ":/etc/oktasync/" + name + "\n"
	}
	b.run("chmod", "0600", "/etc/oktasync/web-key.pem")
	b.write("/etc/systemd/system/oktasync.service.d/web.conf", dropIn)
	config := s.unitConfig("oktasync", everySecond)
	b.write("/etc/oktasync/oktasync.yaml", strings.Replace(config, "listen: 127.0.0.1:0", "listen: 0.0.0.0:0\n  web_config_file: ${CREDENTIALS_DIRECTORY}/web.yaml", 1))
	b.run("systemctl", "daemon-reload")
	b.run("systemctl", "restart", "oktasync")
	var port string
	b.eventually("the daemon listens", func() bool {
		log := b.logged("oktasync", "daemon started")
		m := regexp.MustCompile(`listen="?\[::\]:(\d+)`).FindStringSubmatch(log)
		if m != nil {
			port = m[1]
		}
		return m != nil
	})
	for user, want := range map[string]int{"ops": http.StatusOK, "nobody": http.StatusUnauthorized} {
		resp, err := visit(roots, "https://127.0.0.1:"+port+"/", "idp.acme.example", user, "right")
		if err != nil || resp.StatusCode != want {
			t.Errorf("as %s: %v, %v; want %d", user, resp, err, want)
		}
	}
	b.run("rm", "/etc/systemd/system/oktasync.service.d/web.conf")
	b.write("/etc/oktasync/oktasync.yaml", config)
	b.run("systemctl", "daemon-reload")
	b.run("systemctl", "restart", "oktasync")
}
