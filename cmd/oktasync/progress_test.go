package main

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
)

func TestProgressParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limits []oktaclient.Limit
		p := &progress{zone: time.UTC, limits: func() []oktaclient.Limit { return limits }} // it is midnight
		want := func(line string) {
			t.Helper()
			if got := strings.Join(p.parts(), ", "); got != line {
				t.Errorf("line = %q, want %q", got, line)
			}
		}
		want("")
		p.set("all-users: reading", "users", 0, 0, 0)
		want("all-users: reading")
		time.Sleep(10 * time.Second)
		p.set("all-users: reading", "users", 2000, 0, 10)
		want("all-users: reading, 2000 users, 200/s")
		p.set("all-users: reading", "users", 2000, 20_000, 10)
		want("all-users: reading, 2000 of 20000 users, done about 00:01:40, 200/s")
		now := time.Now()
		limits = []oktaclient.Limit{{Bucket: "users", Limit: 100, Share: 50, Used: 10, Reset: now.Add(50 * time.Second)}}
		want("all-users: reading, 2000 of 20000 users, done about 00:01:40, 200/s") // 90 requests: 40, and 50 in the next window
		limits[0].Used = 40
		want("all-users: reading, 2000 of 20000 users, done about 00:02:00, 200/s") // 30 in the window after that
		limits[0].Used, limits[0].Waiting, limits[0].Until = 50, 4, limits[0].Reset
		want("all-users: reading, 2000 of 20000 users, rate limit until 00:01:00, done about 00:02:00, 200/s")
		limits[0].Others, limits[0].Until = true, now.Add(24*time.Hour)
		want("all-users: reading, 2000 of 20000 users, rate limit used by others, next at Sun 00:00, done about 00:02:00, 200/s")
		limits = nil
		p.set("all-users: settling", "users", 20_001, 0, 101)
		want("all-users: settling, 20001 users")
		p.set("all-users: proving", "missing users requested", 2, 4, 103)
		want("all-users: proving, 2 of 4 missing users requested")
	})
}

func TestNoProgressWithoutATerminal(t *testing.T) {
	a := &app{getenv: os.LookupEnv, statusLine: &term.StatusLine{}, quiet: true}
	if report, _ := a.showReconciles(nil); report != nil {
		t.Error("--quiet shows progress")
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := term.NewStatusLine(f, ""); s != nil || s.Writer(f) != f {
		t.Error("a file has a status line")
	}
}
