package term

import (
	"strings"
	"testing"
	"time"
)

func TestNearest(t *testing.T) {
	known := []string{"private_key_file", "private_key_id", "path", "search", "warn", "staff"}
	for word, want := range map[string]string{
		"private-key-file": "private_key_file", "privat_key_id": "private_key_id", "paht": "path", "serach": "search",
		"warning": "warn", "Path": "path", "x": "", "group": "", "pa": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestClosest(t *testing.T) {
	known := []string{"GitLab", "GitHub Enterprise", "GitHub", "Github", "GitHub (old)", "GitHub", "Super Administrator", "SUPER_ADMIN", "Jira"}
	for text, want := range map[string]string{
		"github": `"GitHub" "Github" "GitHub Enterprise"`, "super admin": `"SUPER_ADMIN" "Super Administrator"`, "gira": `"Jira"`, "Slack": "", "": "",
	} {
		c := NewClosest(text)
		for _, name := range known {
			c.Add(name)
		}
		if got := strings.Join(c.Words(), " "); got != want {
			t.Errorf("the texts nearest to %q are %s, want %s", text, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := Grouped(n); got != want {
			t.Errorf("Grouped(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 3 << 30: "3 GiB", 1 << 62: "4096 PiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{2 * time.Hour: "2h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", time.Hour + time.Second: "1h0m1s", 20 * time.Minute: "20m",
		0: "0s", 10 * time.Hour: "10h", 10*time.Minute + 10*time.Second: "10m10s"} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%s) = %s, want %s", d, got, want)
		}
	}
}
