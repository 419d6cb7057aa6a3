package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// docs/metrics.md lists every metric that a daemon serves, with its type, its
// labels and its help, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 51})
	s.org.Join(1)
	beats := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats <- struct{}{} }))
	defer server.Close()
	d := s.startWith(t, strings.Replace(s.daemonConfig(everySecond), "daemon:\n", "daemon:\n  heartbeat_url: "+server.URL+"\n", 1))
	d.wait("snapshot published")
	<-beats
	<-beats // so that the first has been counted
	_, served := get(t, d.url+"/metrics")
	d.stop(syscall.SIGTERM)
	var want []string
	for line := range strings.Lines(read(t, "../docs/metrics.md")) {
		if strings.HasPrefix(line, "- `oktasync_") {
			want = append(want, strings.TrimSpace(line))
		}
	}
	got := metricRows(served)
	if len(got) < 25 {
		t.Fatalf("only %d metrics are served", len(got))
	}
	for _, row := range got {
		if !slices.Contains(want, row) {
			t.Errorf("docs/metrics.md lacks the line\n%s", row)
		}
	}
	for _, row := range want {
		if !slices.Contains(got, row) {
			t.Errorf("docs/metrics.md has a line of what is not served:\n%s", row)
		}
	}
}

// metricRows returns the lines of docs/metrics.md for the metrics in served.
func metricRows(served string) (rows []string) {
	label := regexp.MustCompile(`(\w+)="`)
	for block := range strings.SplitSeq("\n"+served, "\n# HELP ") {
		name, help, _ := strings.Cut(block, " ")
		if !strings.HasPrefix(name, "oktasync_") {
			continue
		}
		lines := strings.Split(help, "\n")
		kind := lines[1][strings.LastIndex(lines[1], " ")+1:]
		var labels []string
		for _, m := range label.FindAllStringSubmatch(lines[2], -1) {
			if m[1] != "le" {
				labels = append(labels, "`"+m[1]+"`")
			}
		}
		slices.Sort(labels)
		rows = append(rows, "- `"+name+"` ("+strings.TrimSuffix(kind+"; "+strings.Join(labels, ", "), "; ")+"): "+lines[0])
	}
	return rows
}

func TestMetricsPassPrometheusOwnLint(t *testing.T) {
	needs(t, "promtool")
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 52})
	d := s.start(t, everySecond)
	d.wait("snapshot published")
	_, served := get(t, d.url+"/metrics")
	d.stop(syscall.SIGTERM)
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(served)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// The alert rules, each with a test of its own, and the dashboard's queries.
func TestAlertsAndDashboard(t *testing.T) {
	needs(t, "promtool")
	rules := read(t, "../deploy/prometheus/oktasync.rules.yml")
	tests := read(t, "../deploy/prometheus/oktasync.rules.test.yml")
	alerts := regexp.MustCompile(`(?m)- alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 8 {
		t.Fatalf("found %d alerts", len(alerts))
	}
	for _, alert := range alerts {
		if strings.Count(tests, "alertname: "+alert[1]) != 2 {
			t.Errorf("%s has no test of when it fires and when it does not", alert[1])
		}
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	dashboard := read(t, "../deploy/grafana/oktasync.json")
	if err := json.Unmarshal([]byte(dashboard), &board); err != nil {
		t.Fatal(err)
	}
	queries := "groups:\n  - name: dashboard\n    rules:\n"
	for i, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries += fmt.Sprintf("      - {record: 'panel:%d:%d', expr: '%s'}\n", i, len(queries), target.Expr)
		}
	}
	asRules := filepath.Join(t.TempDir(), "dashboard.yml")
	write(t, asRules, []byte(queries))
	table := read(t, "../docs/metrics.md")
	for _, name := range regexp.MustCompile(`oktasync_\w+`).FindAllString(rules+dashboard, -1) {
		if name = strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count"); !strings.Contains(table, "`"+name+"`") {
			t.Errorf("%s is no metric", name)
		}
	}
	for _, args := range [][]string{
		{"check", "rules", "../deploy/prometheus/oktasync.rules.yml"},
		{"test", "rules", "../deploy/prometheus/oktasync.rules.test.yml"},
		{"check", "rules", asRules},
	} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
