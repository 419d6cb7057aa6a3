package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
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
// labels and its help, and no other. promtool finds no problem with them.
func TestDaemonMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 50, Seed: 51}, append(usersAndGroups, "okta.apps.read", "okta.roles.read")...)
	s.org.Join(1)
	heartbeats := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heartbeats <- struct{}{} }))
	defer server.Close()
	d := s.start(t, everySecond+"    users: {}\n    groups: {}\n    role_assignments: {}\n", "heartbeat_url: "+server.URL)
	d.wait("snapshot published")
	<-heartbeats
	<-heartbeats // the first has been counted
	_, served := get(t, d.url+"/metrics")
	d.stop(syscall.SIGTERM)
	var want []string
	for line := range strings.Lines(read(t, "../docs/metrics.md")) {
		if strings.HasPrefix(line, "| `oktasync_") {
			want = append(want, strings.TrimSpace(line))
		}
	}
	got := metricRows(served)
	slices.Sort(got)
	slices.Sort(want)
	if len(got) < 25 || !slices.Equal(got, want) {
		t.Errorf("the daemon serves\n%s\ndocs/metrics.md has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	needs(t, "promtool")
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(served)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
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
		rows = append(rows, "| `"+name+"` | "+kind+" | "+strings.Join(labels, ", ")+" | "+lines[0]+" |")
	}
	return rows
}

// promtool accepts the alert rules, their tests and the queries of the dashboard.
// Each alert has two tests, and each metric that they use is documented.
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
			t.Errorf("%s needs two tests: one in which it fires, and one in which it doesn't", alert[1])
		}
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	dashboard := read(t, "../deploy/grafana/oktasync.json")
	check(t, json.Unmarshal([]byte(dashboard), &board))
	queries := "groups:\n  - name: dashboard\n    rules:\n"
	for i, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries += fmt.Sprintf("      - {record: 'panel:%d:%d', expr: '%s'}\n", i, len(queries), target.Expr)
		}
	}
	queryRules := filepath.Join(t.TempDir(), "dashboard.yml")
	write(t, queryRules, queries)
	table := read(t, "../docs/metrics.md")
	for _, name := range regexp.MustCompile(`oktasync_\w+`).FindAllString(rules+dashboard, -1) {
		if name = strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count"); !strings.Contains(table, "`"+name+"`") {
			t.Errorf("%s is not in docs/metrics.md", name)
		}
	}
	for _, args := range [][]string{
		{"check", "rules", "../deploy/prometheus/oktasync.rules.yml"},
		{"test", "rules", "../deploy/prometheus/oktasync.rules.test.yml"},
		{"check", "rules", queryRules},
	} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
