package term

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFit(t *testing.T) {
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
		t.Errorf("fit() = %q, want at most 5 columns", got)
	}
	if got := fit(nil, 80); got != "" {
		t.Errorf("fit() = %q", got)
	}
}

// The line appears after a second, is drawn only if it has changed, and is erased at the
// end.
func TestStatusLineDraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &StatusLine{out: &out, columns: func() int { return 20 }}
		stop := s.Show(func() []string { return []string{"soon"} })
		time.Sleep(999 * time.Millisecond)
		stop()
		if out.Len() > 0 {
			t.Errorf("drew %q within a second", out.String())
		}
		n := 0
		stop = s.Show(func() []string { n++; return []string{fmt.Sprint("step ", n/2)} })
		time.Sleep(11 * time.Second)
		stop()
		stop()
		drawn := strings.Count(out.String(), "step")
		if n > 110 || drawn < 20 || drawn > n/2+1 || !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Errorf("asked %d times and drew %d lines: %q", n, drawn, out.String())
		}
	})
}

// Other output erases the line first. The line isn't drawn within an unfinished line.
func TestStatusLineMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s := &StatusLine{out: w, columns: func() int { return 20 }}
		stop := s.Show(func() []string { return []string{"line"} })
		time.Sleep(Delay + redraw/2)
		log := writer{s, w}
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
