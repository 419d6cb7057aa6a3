package snapshot_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/reconcile/snapshot"
)

const staff = "staff" // the export of most tests

var acme = snapshot.Org{URL: "https://acme.okta.com", ID: "00o1"}

// day is when the nth reading of most tests begins.
func day(n int) time.Time { return time.Date(2026, 11, 22+n, 6, 0, 0, 0, time.UTC) }

// newStore returns an empty store of acme.
func newStore(t testing.TB) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Init(filepath.Join(t.TempDir(), "snapshots"), acme, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// person returns a user as Okta sends it.
func person(n int, status, department string) string {
	return fmt.Sprintf(`{"id":"00u%04d","status":%q,"profile":{"login":"p%d@acme.example","department":%q}}`, n, status, n, department)
}

// people returns n active users, as Okta sends them.
func people(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = person(i+1, "ACTIVE", "Sales")
	}
	return users
}

// draft compares users with the newest snapshot of an export, as a reconcile
// does, and returns what there is to publish.
func draft(t testing.TB, s *snapshot.Store, started time.Time, users ...string) snapshot.Draft {
	t.Helper()
	declared := snapshot.DefaultDeclaration()
	d := snapshot.Draft{
		Started: started, Finished: started.Add(time.Minute), Org: s.Org(),
		Client:   snapshot.Client{ClientID: "0oa1", Scopes: []string{"okta.users.read"}, DPoP: true},
		Run:      snapshot.Run{Trigger: "apply", Host: "node1", User: "ops"},
		Tool:     snapshot.Tool{Name: "oktasync", Version: "v0.1.0"},
		Declared: declared, ByStatus: map[string]int{},
		Read:  snapshot.Read{Rows: len(users), Settled: true},
		Users: usersOf(t, users...),
	}
	for _, u := range users {
		d.ByStatus[decode(t, []byte(u)).(map[string]any)["status"].(string)]++
	}
	d.Requests = requests(t, started, len(users))

	var before *snapshot.Declaration
	var current snapshot.UserReader = usersOf(t)
	latest, err := s.Latest(staff)
	if err == nil {
		before = &latest.Manifest.Declared
		if current, err = latest.Users(); err != nil {
			t.Fatal(err)
		}
		defer current.Close()
	} else if !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Fatal(err)
	}
	var rules snapshot.Rules
	rules, d.Base = snapshot.RulesFor(before, declared)
	d.Counts.Total = len(users)
	if d.Base != snapshot.BasePrevious {
		return d
	}
	changes := new(bytes.Buffer)
	d.Counts, err = snapshot.Diff(current, usersOf(t, users...), rules, func(c *snapshot.Change) error {
		line, err := c.Line(nil)
		changes.Write(line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Changes = changes
	return d
}

// requests returns the transcript of a reading of one page.
func requests(t testing.TB, at time.Time, rows int) *bytes.Buffer {
	t.Helper()
	var b []byte
	for _, r := range []snapshot.Request{
		{Time: snapshot.At(at), Method: "POST", Path: "/oauth2/v1/token", Status: 200, RequestID: "a1"},
		{Time: snapshot.At(at), Method: "GET", Path: "/api/v1/users?limit=200", Status: 200, Rows: rows, RequestID: "a2"},
	} {
		var err error
		if b, err = r.Line(b); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.NewBuffer(b)
}

// reconcile publishes users through a writer of its own, as one run does.
func reconcile(t testing.TB, s *snapshot.Store, started time.Time, users ...string) (*snapshot.Snapshot, error) {
	t.Helper()
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		return nil, err
	}
	snap, err := func() (*snapshot.Snapshot, error) {
		if err := w.Journal(snapshot.Event{Event: snapshot.EventStarted}); err != nil {
			return nil, err
		}
		return w.Publish(t.Context(), draft(t, s, started, users...))
	}()
	if err != nil {
		// On a disk that has failed this may fail too.
		w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()})
	}
	return snap, errors.Join(err, w.Close())
}

// publish is a reconcile that works.
func publish(t testing.TB, s *snapshot.Store, started time.Time, users ...string) *snapshot.Snapshot {
	t.Helper()
	snap, err := reconcile(t, s, started, users...)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// ids returns the ids of all users of a snapshot.
func ids(t testing.TB, snap *snapshot.Snapshot) (ids []string) {
	t.Helper()
	users, err := snap.Users()
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	for {
		u, err := users.Next()
		if err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return ids
		}
		ids = append(ids, string(u.ID))
	}
}

func TestInit(t *testing.T) {
	s := newStore(t)
	again, err := snapshot.Init(s.Dir(), snapshot.Org{URL: acme.URL}, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != s.ID() || len(s.ID()) != 32 {
		t.Errorf("ID() = %q, want %q", again.ID(), s.ID())
	}
	read, err := snapshot.Open(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if read.Org() != acme {
		t.Errorf("Org() = %v, want %v", read.Org(), acme)
	}
}

func TestStoreFolderProblems(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	newer := filepath.Join(dir, "newer")
	write(t, filepath.Join(newer, "oktasync.json"), `{"format":"oktasync.store/2","things":{}}`+"\n")
	foreign := filepath.Join(dir, "home")
	write(t, filepath.Join(foreign, "letters.txt"), "")
	for _, test := range []struct{ name, dir, want string }{
		{"file", file, "not a directory"},
		{"below a file", filepath.Join(file, "snapshots"), "not a directory"},
		{"newer", newer, "its format is oktasync.store/2, and this version of oktasync knows no other than oktasync.store/1"},
		{"other files", foreign, "the folder holds no store but other files (letters.txt)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := snapshot.Init(test.dir, acme, snapshot.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Init: %v, want %q", err, test.want)
			}
		})
	}
	for _, missing := range []string{filepath.Join(dir, "missing"), foreign} {
		if _, err := snapshot.Open(missing); !errors.Is(err, snapshot.ErrNoStore) {
			t.Errorf("Open(%s): %v, want ErrNoStore", missing, err)
		}
	}
}

func TestAnotherOrgIsRefused(t *testing.T) {
	s := newStore(t)
	for _, other := range []snapshot.Org{{URL: "https://acme.oktapreview.com"}, {URL: acme.URL, ID: "00o2"}} {
		_, err := snapshot.Init(s.Dir(), other, snapshot.Options{})
		if _, ok := errors.AsType[*snapshot.OrgError](err); !ok {
			t.Errorf("Init with %v: %v, want an *OrgError", other, err)
		}
	}
}

// The modes hold whatever the umask, which go test runs under 022.
func TestModes(t *testing.T) {
	for _, test := range []struct {
		name      string
		gid       int
		file, dir fs.FileMode
	}{
		{"private", 0, 0o600, fs.ModeDir | 0o700},
		{"group", groupID(), 0o640, fs.ModeDir | fs.ModeSetgid | 0o750},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := snapshot.Init(filepath.Join(t.TempDir(), "snapshots"), acme, snapshot.Options{GID: test.gid})
			if err != nil {
				t.Fatal(err)
			}
			publish(t, s, day(1), people(3)...)
			publish(t, s, day(2), people(4)...)
			err = filepath.WalkDir(s.Dir(), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.Type() == fs.ModeSymlink || d.Name() == ".lock" {
					return err
				}
				info, err := d.Info()
				want := test.file
				if d.IsDir() {
					want = test.dir
				}
				if info.Mode() != want {
					t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What the superuser writes into another user's store belongs to that user,
// who could not publish there otherwise.
func TestRootOnAnothersStore(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	const uid, gid = 12345, 12346
	dir := filepath.Join(t.TempDir(), "snapshots")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, uid, gid)); err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Init(dir, acme, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, s, day(1), people(3)...)
	if err := quarantine(t, s, 2); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != uid || stat.Gid != gid {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPublish(t *testing.T) {
	s := newStore(t)
	if _, err := s.Latest(staff); !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Errorf("Latest: %v, want ErrNoSnapshot", err)
	}
	first := publish(t, s, day(1), people(2)...)
	second := publish(t, s, day(2), append(people(2), person(3, "STAGED", "Law"))...)
	latest, err := s.Latest(staff)
	if err != nil {
		t.Fatal(err)
	}
	if latest.Digest != second.Digest || latest.Name() != "20261124T060000Z" {
		t.Errorf("Latest() = %s %s, want %s %s", latest.Name(), latest.Digest, second.Name(), second.Digest)
	}
	m := latest.Manifest
	if m.Sequence != 2 || m.Previous.ManifestSHA256 != first.Digest || m.Read.Requests != 2 || m.Resources.Users.Added != 1 {
		t.Errorf("manifest = %+v", m)
	}
	if got, want := ids(t, latest), []string{"00u0001", "00u0002", "00u0003"}; !slices.Equal(got, want) {
		t.Errorf("users = %v, want %v", got, want)
	}
	if target, _ := os.Readlink(filepath.Join(s.Dir(), staff, "latest")); target != latest.Name() {
		t.Errorf("latest -> %s, want %s", target, latest.Name())
	}
	list, err := s.List(staff)
	if err != nil || len(list) != 2 || list[0].Digest != first.Digest {
		t.Errorf("List() = %v, %v", list, err)
	}
}

// A name is a second after the one before, whatever the clock says.
func TestPublishWithTheClockSetBack(t *testing.T) {
	s := newStore(t)
	publish(t, s, day(2), people(2)...)
	snap := publish(t, s, day(1), people(2)...)
	if want := "20261124T060001Z"; snap.Name() != want {
		t.Errorf("Name() = %s, want %s", snap.Name(), want)
	}
	if got, want := snap.Manifest.Read.Started, snapshot.At(day(1)); got != want {
		t.Errorf("started = %v, want %v", got, want)
	}
}

// A draft whose numbers do not add up becomes no snapshot.
func TestPublishRefuses(t *testing.T) {
	for _, test := range []struct {
		name, want string
		spoil      func(*snapshot.Draft)
	}{
		{"total", "users: the manifest says 4, and there are 3", func(d *snapshot.Draft) { d.Counts.Total++ }},
		{"status", "users by status: the manifest says 3, and there are 4", func(d *snapshot.Draft) { d.ByStatus["LOCKED_OUT"] = 1 }},
		{"rows", "rows of all pages: the manifest says 4, and there are 3", func(d *snapshot.Draft) { d.Read.Rows++ }},
		{"order", `user "00u0001" stands after "00u0002"`, func(d *snapshot.Draft) {
			d.Users = usersOf(t, person(2, "ACTIVE", ""), person(1, "ACTIVE", ""))
		}},
		{"base", `a draft on base "none" does not fit`, func(d *snapshot.Draft) { d.Base = snapshot.BaseNone }},
		{"changes", "changes: the manifest says 1, and there are 2", func(d *snapshot.Draft) { d.Counts.Added-- }},
		{"other snapshot", "compared with another snapshot", func(d *snapshot.Draft) { d.Counts.Before-- }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			publish(t, s, day(1), people(1)...)
			w, err := s.Writer(staff, snapshot.ThisProcess("test"))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			d := draft(t, s, day(2), people(3)...)
			test.spoil(&d)
			_, err = w.Publish(t.Context(), d)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Publish: %v, want %q", err, test.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	s := newStore(t)
	for n := range 4 {
		publish(t, s, day(n), people(2)...)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	tokyo := time.FixedZone("Tokyo", 9*3600)
	for _, test := range []struct {
		name string
		zone *time.Location
		want string
	}{
		{"", nil, "20261125T060000Z"},
		{"@", nil, "20261125T060000Z"},
		{"@-0", nil, "20261125T060000Z"},
		{"@-1", nil, "20261124T060000Z"},
		{"@-3", nil, "20261122T060000Z"},
		{"20261123T060000Z", nil, "20261123T060000Z"},
		{"2026-11-23", berlin, "20261123T060000Z"},
		{"2026-11-23", time.FixedZone("", -12*3600), "20261124T060000Z"},
		{"2026-11-23", tokyo, "20261123T060000Z"},
		{"2027-01-01", nil, "20261125T060000Z"},
		{"2026-11-24T06:00:00Z", nil, "20261124T060000Z"},
		{"2026-11-24T06:59:59+01:00", nil, "20261123T060000Z"},
	} {
		snap, err := s.Find(staff, test.name, test.zone)
		if err != nil || snap.Name() != test.want {
			t.Errorf("Find(%q) = %v, %v, want %s", test.name, snap, err, test.want)
		}
	}
	for name, want := range map[string]string{
		"20261123T060001Z": "no snapshot 20261123T060001Z of staff; the nearest is 20261123T060000Z",
		"20261124":         "no snapshot 20261124 of staff; the nearest is 20261124T060000Z",
		"2026-11-21":       "no snapshot up to 2026-11-21 of staff; the nearest is 20261122T060000Z",
		"@-4":              "no snapshot @-4 of staff; the nearest is 20261122T060000Z",
	} {
		if _, err := s.Find(staff, name, nil); err == nil || err.Error() != want {
			t.Errorf("Find(%q): %v, want %q", name, err, want)
		}
	}
	if _, err := s.Find("others", "2026-11-21", nil); !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Errorf("Find in an empty export: %v, want ErrNoSnapshot", err)
	}
}

func TestLocksNameTheirHolder(t *testing.T) {
	s := newStore(t)
	w, err := s.Writer(staff, snapshot.Holder{PID: 7, Host: "node1", User: "ops", Command: "apply", Since: snapshot.At(day(1))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Writer(staff, snapshot.ThisProcess("test"))
	want := "staff is locked by apply (process 7 of ops on node1, since 2026-11-23T06:00:00.000Z)"
	if err == nil || err.Error() != want {
		t.Errorf("second Writer: %v, want %s", err, want)
	}
	if other, err := s.Writer("others", snapshot.ThisProcess("test")); err != nil {
		t.Errorf("Writer of another export: %v", err)
	} else {
		other.Close()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	release, err := s.LockRun(snapshot.ThisProcess("run"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.LockRun(snapshot.ThisProcess("run")); !isLocked(err) {
		t.Errorf("second LockRun: %v, want a *LockedError", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	publish(t, s, day(1), people(1)...)
}

func isLocked(err error) bool {
	_, ok := errors.AsType[*snapshot.LockedError](err)
	return ok
}

// write writes a file, and the folders above it.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// journalOf returns the events of the export's journal.
func journalOf(t testing.TB, s *snapshot.Store) (events []snapshot.Event) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Dir(), staff, "journal.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var e snapshot.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}
