package snapshot_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

// damages are what can happen to the newest snapshot of threeDays, by the file
// that it happens to, and what is said of it.
var damages = []struct{ name, file, want string }{
	{"flipped byte", "users.ndjson.zst", "its compressed content is damaged"},
	{"cut short", "users.ndjson.zst", "it is cut short"},
	{"emptied", "users.ndjson.zst", "it has 0 users, and the manifest says 19"},
	{"missing", "users.ndjson.zst", "it is missing"},
	{"cut short", "manifest.json", "it is cut short"},
	{"emptied", "manifest.json", "it is cut short"},
	{"flipped byte", "manifest.json", "it is not valid JSON"},
	{"missing", "manifest.json", "it is missing"},
}

// A damaged snapshot is spoken of in words of a person, with what to do, and
// the journal can still say that a run failed.
func TestDamagedNewest(t *testing.T) {
	for _, test := range damages {
		t.Run(test.file+" "+test.name, func(t *testing.T) {
			s := threeDays(t)
			path := filepath.Join(s.Dir(), staff, "20261125T060000Z", test.file)
			damage(t, path, test.name)
			err := useNewest(t, s)
			var e *snapshot.DamagedError
			if !errors.As(err, &e) || !strings.HasSuffix(err.Error(), "read "+path+": "+test.want) {
				t.Fatalf("use: %v, want %q of %s", err, test.want, path)
			}
			if !strings.Contains(e.Hint(), "oktasync adopt staff --reason TEXT") {
				t.Errorf("Hint() = %q", e.Hint())
			}
			events := journalOf(t, s)
			if last := events[len(events)-1]; last.Event != snapshot.EventFailed || last.Error != err.Error() {
				t.Errorf("journal ends with %+v", last)
			}
			if problems, _ := findings(t, s); !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, test.file) }) {
				t.Errorf("Verify: %q", problems)
			}

			// What the hint says works.
			if err := os.Rename(filepath.Dir(path), filepath.Join(t.TempDir(), "aside")); err != nil {
				t.Fatal(err)
			}
			adopt(t, s)
			publish(t, s, day(4), people(5)...)
		})
	}
}

// useNewest does with the newest snapshot what a reconcile does, and journals
// an error.
func useNewest(t *testing.T, s *snapshot.Store) error {
	t.Helper()
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatalf("Writer: %v, and nothing can be journaled", err)
	}
	defer w.Close()
	err = w.Damaged()
	if err == nil {
		_, err = readIDs(w.Latest())
	}
	if err == nil {
		return nil
	}
	if w.Damaged() != nil {
		_, heldErr := w.Quarantine(t.Context(), snapshot.Draft{}, "")
		_, publishErr := w.Publish(t.Context(), snapshot.Draft{})
		_, pruneErr := w.Prune(t.Context(), snapshot.Retention{Last: 1})
		for _, err := range []error{heldErr, publishErr, pruneErr, w.Adopt("ops", "why not")} {
			if !errors.Is(err, w.Damaged()) {
				t.Errorf("a Writer does what it can't: %v", err)
			}
		}
	}
	if err := w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()}); err != nil {
		t.Error(err)
	}
	return err
}

func readIDs(snap *snapshot.Snapshot) (n int, err error) {
	users, err := snap.Records(snapshot.Users)
	if err != nil {
		return 0, err
	}
	defer users.Close()
	for ; err == nil; n++ {
		_, err = users.Next()
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func damage(t *testing.T, path, how string) {
	t.Helper()
	data := read(t, path)
	half := len(data) / 2
	switch how {
	case "flipped byte":
		data = data[:half] + "\x01" + data[half+1:]
	case "cut short":
		data = data[:half]
	case "emptied":
		data = ""
	case "missing":
		remove(t, filepath.Dir(path), filepath.Base(path))
		return
	}
	write(t, path, data)
}
