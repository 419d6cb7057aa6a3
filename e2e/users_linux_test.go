package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// The users of these tests. They are in /etc/passwd and /etc/group only where a
// private mount namespace shows them.
const (
	keeper   = 61001 // owns the store, and is of the group auditors
	auditor  = 61003 // is of the group auditors
	stranger = 61004
	auditors = 61002
)

// people is a site that belongs to keeper, in a world that has these users.
type people struct {
	*site
	t *testing.T
}

func newPeople(t *testing.T, config string) *people {
	t.Helper()
	needs(t, "unshare")
	needs(t, "setpriv")
	if os.Getuid() != 0 {
		if long() {
			t.Fatal("being several users takes root")
		}
		t.Skip("being several users takes root")
	}
	s := newTestSite(t, sandbox.Config{Users: 20, Seed: 94})
	p := &people{s, t}
	write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(strings.Replace(s.config(""), "path: snapshots", "path: snapshots"+config, 1)))
	for name, more := range map[string]string{
		"passwd": fmt.Sprintf("keeper:x:%d:%[1]d::/:/bin/sh\nauditor:x:%d:%[2]d::/:/bin/sh\nstranger:x:%d:%[3]d::/:/bin/sh\n", keeper, auditor, stranger),
		"group":  fmt.Sprintf("keeper:x:%d:\nauditors:x:%d:keeper,auditor\n", keeper, auditors),
	} {
		data, err := os.ReadFile("/etc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(s.dir, name), append(data, more...))
	}
	data, err := os.ReadFile(program())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "oktasync"), data)
	err = filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, keeper, keeper))
	})
	// The test's folders are private, and others have to get to the store.
	err = errors.Join(err, os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(s.dir, 0o755), os.Chmod(filepath.Join(s.dir, "oktasync"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// as runs a command of the shell as a user with this umask.
func (p *people) as(uid int, umask, command string) (status int, said string) {
	p.t.Helper()
	groups := fmt.Sprintf("--regid %d --clear-groups", uid)
	if uid == keeper || uid == auditor {
		groups = fmt.Sprintf("--regid %d --groups %d", uid, auditors)
	}
	cmd := exec.CommandContext(p.t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c",
		"mount --bind passwd /etc/passwd && mount --bind group /etc/group && umask "+umask+
			fmt.Sprintf(" && exec setpriv --reuid %d %s sh -c \"$0\"", uid, groups), command)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "PATH="+p.dir+":"+os.Getenv("PATH"), "HOME=/")
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// must is as for a command that has to end with status and say text.
func (p *people) must(uid int, umask, command string, status int, text string) {
	p.t.Helper()
	got, said := p.as(uid, umask, command)
	if got != status || !strings.Contains(said, text) {
		p.t.Errorf("user %d: %s: status %d, want %d and %q:\n%s", uid, command, got, status, text, said)
	}
}

// modes holds the owner, group and mode of everything in the store against what
// each should have: published or private.
func (p *people) modes(group int, file, dir fs.FileMode) {
	p.t.Helper()
	root := filepath.Join(p.dir, "snapshots")
	seen := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type() == fs.ModeSymlink {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		wantGroup, want := group, file
		if e.IsDir() {
			want = dir | fs.ModeDir
		}
		rel, _ := filepath.Rel(root, path)
		if parts := strings.Split(rel, "/"); slices.Contains(parts, ".quarantine") || e.Name() == ".lock" {
			want &= fs.ModeDir | 0o700
			wantGroup = -1 // private: nobody in it matters
		}
		stat := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want || stat.Uid != keeper || wantGroup >= 0 && int(stat.Gid) != wantGroup {
			p.t.Errorf("%s is %v of %d:%d, want %v of %d:%d", rel, info.Mode(), stat.Uid, stat.Gid, want, keeper, wantGroup)
		}
		seen++
		return nil
	})
	if err != nil || seen < 12 {
		p.t.Fatalf("%d files: %v", seen, err)
	}
}

// store.group lets its members read what is published, and no more, whatever the
// umask; others nothing.
func TestStoreGroupOfRealUsers(t *testing.T) {
	p := newPeople(t, "\n  group: auditors")
	p.must(keeper, "077", "oktasync apply", 0, "published")
	p.must(keeper, "000", "oktasync apply", 0, "published")
	p.org.Wipe()
	p.must(keeper, "022", "oktasync apply", 3, "quarantined")
	p.modes(auditors, 0o640, 0o750|fs.ModeSetgid)

	for _, command := range []string{"verify --store snapshots", "list --store snapshots", "diff all-users --store snapshots"} {
		p.must(auditor, "022", "oktasync "+command, 0, "")
	}
	p.must(auditor, "022", "cd snapshots/all-users/latest && sha256sum -c SHA256SUMS", 0, "users.csv: OK")
	p.must(auditor, "022", "touch snapshots/all-users/latest/users.csv snapshots/all-users/x", 1, "Permission denied")
	p.must(auditor, "022", "ls snapshots/.quarantine", 2, "Permission denied")
	for _, command := range []string{"verify", "list", "show all-users"} {
		p.must(stranger, "022", "oktasync "+command+" --store snapshots", 1, "permission denied")
	}
}

// Without a group nobody but the owner sees anything, also under a umask of 0.
func TestStoreIsPrivateWhateverTheUmask(t *testing.T) {
	p := newPeople(t, "")
	p.must(keeper, "000", "oktasync apply", 0, "published")
	p.must(keeper, "000", "oktasync apply", 0, "published")
	p.modes(keeper, 0o600, 0o700)
	for _, uid := range []int{auditor, stranger} {
		p.must(uid, "022", "oktasync list --store snapshots", 1, "permission denied\noktasync: hint: this runs as uid "+fmt.Sprint(uid)+": run it as the user whose files these are;")
		p.must(uid, "022", "cat snapshots/oktasync.json", 1, "Permission denied")
	}
	p.must(stranger, "022", "oktasync apply", 1, "oktasync.yaml may not be read by uid 61004 (mode 0600, owner uid 61001)")
	p.must(keeper, "022", "mkdir -m 700 own && cp oktasync.yaml own", 0, "")
	p.must(stranger, "022", "oktasync apply --config own/oktasync.yaml", 1, "own/oktasync.yaml may not be read by uid 61004\n")
}

// What root does in another's store stays that user's, who goes on in it.
func TestRootOnTheStoreOfARealUser(t *testing.T) {
	for name, test := range map[string]struct {
		config    string
		group     int
		file, dir fs.FileMode
	}{
		"private": {"", keeper, 0o600, 0o700},
		"group":   {"\n  group: auditors", auditors, 0o640, 0o750 | fs.ModeSetgid},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeople(t, test.config+"\n")
			p.must(keeper, "022", "oktasync apply", 0, "published")
			p.must(0, "000", "oktasync apply", 0, "published")
			p.must(0, "077", "rm snapshots/all-users/latest/users.csv && oktasync apply", 0, "published")
			p.org.Wipe()
			p.must(0, "022", "oktasync apply", 3, "quarantined")
			p.must(0, "022", "oktasync quarantine drop all-users@$(ls snapshots/.quarantine/all-users) --reason x", 0, "dropped")
			p.org.Restore()
			p.modes(test.group, test.file, test.dir)
			p.must(keeper, "022", "oktasync apply", 0, "published")
			p.must(keeper, "022", "oktasync verify", 0, "everything fits")
		})
	}
}
