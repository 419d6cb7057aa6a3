package snapshot_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

// The error of a damaged newest snapshot says what is wrong and what to do, the
// journal can record a failure, and the hint works.
func TestDamagedNewest(t *testing.T) {
	for _, test := range []struct{ how, file, want string }{
		{"flip a byte", "users.ndjson.zst", "its compressed content is damaged"},
		{"cut", "users.ndjson.zst", "it is cut short"},
		{"empty", "users.ndjson.zst", "it has 0 users, and the manifest says 19"},
		{"remove", "users.ndjson.zst", "it is missing"},
		{"empty", "groups.ndjson.zst", "it has 0 groups, and the manifest says 3"},
		{"cut", "manifest.json", "it is cut short"},
		{"empty", "manifest.json", "it is cut short"},
		{"flip a byte", "manifest.json", "it is not valid JSON"},
		{"remove", "manifest.json", "it is missing"},
	} {
		t.Run(test.how+" "+test.file, func(t *testing.T) {
			s := storetest.ThreeDays(t)
			path := s.Path(staff, "20261125T060000Z", test.file)
			damage(t, path, test.how)
			err := useNewest(t, s)
			var e *snapshot.DamagedError
			if !errors.As(err, &e) || !strings.HasSuffix(err.Error(), "read "+path+": "+test.want) {
				t.Fatalf("use: %v, want %q of %s", err, test.want, path)
			}
			if e.Export != staff {
				t.Errorf("Export = %q, want %q", e.Export, staff)
			}
			events := storetest.Journal(t, s)
			if last := events[len(events)-1]; last.Event != snapshot.EventFailed || last.Error != err.Error() {
				t.Errorf("journal ends with %+v", last)
			}
			if problems, _ := storetest.Verify(t, s); !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, test.file) }) {
				t.Errorf("Verify: %q", problems)
			}
			storetest.Must(t, os.Rename(filepath.Dir(path), filepath.Join(t.TempDir(), "aside")))
			storetest.Adopt(t, s)
			storetest.Publish(t, s, storetest.Day(4), storetest.People(5)...)
		})
	}
}

// useNewest reads the newest snapshot as a reconcile does, and records an error
// in the journal.
func useNewest(t *testing.T, s *snapshot.Store) error {
	t.Helper()
	w := storetest.Writer(t, s)
	defer w.Close()
	err := w.Damaged()
	if err == nil {
		err = readAll(w.Latest())
	}
	if w.Damaged() != nil {
		_, quarantineErr := w.Quarantine(t.Context(), snapshot.Draft{}, "")
		_, publishErr := w.Publish(t.Context(), snapshot.Draft{})
		_, pruneErr := w.Prune(t.Context(), snapshot.Retention{Last: 1})
		for _, err := range []error{quarantineErr, publishErr, pruneErr, w.Adopt("ops", "why not")} {
			if !errors.Is(err, w.Damaged()) {
				t.Errorf("a Writer changes a damaged store: %v", err)
			}
		}
	}
	if err != nil {
		storetest.Must(t, w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()}))
	}
	return err
}

func readAll(snap *snapshot.Snapshot) error {
	for _, r := range snap.Recorded() {
		records, err := snap.Records(r)
		if err != nil {
			return err
		}
		defer records.Close()
		for err == nil {
			_, err = records.Next()
		}
		if err != io.EOF {
			return err
		}
	}
	return nil
}

func damage(t *testing.T, path, how string) {
	t.Helper()
	data := storetest.Read(t, path)
	half := len(data) / 2
	switch how {
	case "flip a byte":
		data = data[:half] + "\x01" + data[half+1:]
	case "cut":
		data = data[:half]
	case "empty":
		data = ""
	case "remove":
		storetest.Remove(t, path)
		return
	}
	storetest.Write(t, path, data)
}
