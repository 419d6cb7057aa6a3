package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

func TestProgressSaysWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limits []oktaclient.Limit
		p := &progress{zone: time.UTC, limits: func() []oktaclient.Limit { return limits }} // it is midnight
		want := func(line string) {
			t.Helper()
			if got := fit(p.parts(), 200); got != line {
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
		want("all-users: reading, 2000 of 20000 users, done about 00:02:00, 200/s") // 30 are for the one after that
		limits[0].Used, limits[0].Waiting, limits[0].Until = 50, 4, limits[0].Reset
		want("all-users: reading, 2000 of 20000 users, rate limit until 00:01:00, done about 00:02:00, 200/s")
		limits[0].Others, limits[0].Until = true, now.Add(24*time.Hour)
		want("all-users: reading, 2000 of 20000 users, rate limit used by others, next at Sun 00:00, done about 00:02:00, 200/s")
		limits = nil
		p.set("all-users: settling", "users", 20_001, 0, 101)
		want("all-users: settling, 20001 users")
		p.set("all-users: proving", "missing users asked for", 2, 4, 103)
		want("all-users: proving, 2 of 4 missing users asked for")
	})
}

func TestFitKeepsToTheWindow(t *testing.T) {
	parts := []string{"all-users: reading", "200 users", "rate limit until 12:03:20"}
	for columns, want := range map[int]string{
		0: "", 4: "all-", 18: "all-users: reading", 28: "all-users: reading", 29: "all-users: reading, 200 users",
		55: "all-users: reading, 200 users", 56: "all-users: reading, 200 users, rate limit until 12:03:20",
	} {
		if got := fit(parts, columns); got != want {
			t.Errorf("fit(%d) = %q, want %q", columns, got, want)
		}
	}
	if got := fit([]string{"読み込み"}, 5); got != "読み" {
		t.Errorf("fit() = %q, want what takes at most 5 columns", got)
	}
	if got := fit(nil, 80); got != "" {
		t.Errorf("fit() = %q", got)
	}
}

// What takes less than a second shows nothing; what takes longer is drawn at
// most ten times a second, only where it has changed, and is gone at the end.
func TestScreenDraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &screen{out: &out, columns: func() int { return 20 }}
		stop := s.show(func() []string { return []string{"soon"} })
		time.Sleep(999 * time.Millisecond)
		stop()
		if out.Len() > 0 {
			t.Errorf("drew %q within a second", out.String())
		}
		n := 0
		stop = s.show(func() []string { n++; return []string{fmt.Sprint("step ", n/2)} })
		time.Sleep(11 * time.Second)
		stop()
		stop()
		drawn := strings.Count(out.String(), "step")
		if n > 110 || drawn < 20 || drawn > n/2+1 || !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Errorf("looked %d times and drew %d lines: %q", n, drawn, out.String())
		}
	})
}

// Whatever else is written takes the line away first, and is never written into.
func TestScreenMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s := &screen{out: w, columns: func() int { return 20 }}
		stop := s.show(func() []string { return []string{"line"} })
		time.Sleep(patience + redraw/2)
		log := above{s, w}
		fmt.Fprint(log, "half of ")
		time.Sleep(10 * redraw)
		fmt.Fprint(log, "a message\n")
		time.Sleep(redraw)
		stop()
		w.Close()
		var got bytes.Buffer
		if _, err := got.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		const line, gone = "\rline\x1b[K", "\r\x1b[K"
		if want := line + gone + "half of a message\n" + line + gone; got.String() != want {
			t.Errorf("wrote %q, want %q", got.String(), want)
		}
	})
}

func TestNoScreenWithoutATerminal(t *testing.T) {
	a := &app{getenv: os.LookupEnv, screen: &screen{}, quiet: true}
	if tell, _ := a.showReconciles(nil); tell != nil {
		t.Error("--quiet shows something")
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := a.newScreen(f); s != nil || s.over(f) != f {
		t.Error("a file has a screen")
	}
}
