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

// The users and the group of these tests. They exist only in a mount namespace, in
// which other files replace /etc/passwd and /etc/group.
const (
	owner    = 61001 // of the store; a member of auditors
	auditor  = 61003 // a member of auditors
	stranger = 61004
	auditors = 61002
)

// sharedSite is a site whose files belong to owner.
type sharedSite struct {
	*site
	t *testing.T
}

// newSharedSite returns a site with more lines in the section store.
func newSharedSite(t *testing.T, store string) *sharedSite {
	t.Helper()
	needs(t, "unshare", "setpriv")
	if os.Getuid() != 0 {
		skip(t, "only root can run commands as other users")
	}
	s := newSite(t, sandbox.Config{Users: 20, Seed: 94})
	p := &sharedSite{s, t}
	s.configure(t, "", "path: snapshots", "path: snapshots"+store)
	for name, more := range map[string]string{
		"passwd": fmt.Sprintf("owner:x:%d:%[1]d::/:/bin/sh\nauditor:x:%d:%[2]d::/:/bin/sh\nstranger:x:%d:%[3]d::/:/bin/sh\n", owner, auditor, stranger),
		"group":  fmt.Sprintf("owner:x:%d:\nauditors:x:%d:owner,auditor\n", owner, auditors),
	} {
		write(t, s.path(name), read(t, "/etc/"+name)+more)
	}
	copyFile(t, program(), s.path("oktasync"), 0o755)
	err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, owner, owner))
	})
	// The folders of a test are private. The other users need access to the store.
	check(t, errors.Join(err, os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(s.dir, 0o755)))
	return p
}

// as runs a shell command as a user with this umask.
func (p *sharedSite) as(uid int, umask, command string) (status int, output string) {
	p.t.Helper()
	groups := fmt.Sprintf("--regid %d --clear-groups", uid)
	if uid == owner || uid == auditor {
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

// must is as for a command that must return status and print text.
func (p *sharedSite) must(uid int, umask, command string, status int, text string) {
	p.t.Helper()
	got, out := p.as(uid, umask, command)
	if got != status || !strings.Contains(out, text) {
		p.t.Errorf("user %d: %s: status %d, want %d and %q:\n%s", uid, command, got, status, text, out)
	}
}

// modes checks the owner, group and mode of all files and folders in the store.
// Published ones have the given group and modes; the quarantine and the locks are
// private.
func (p *sharedSite) modes(group int, file, dir fs.FileMode) {
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
			wantGroup = -1 // has no access
		}
		stat := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want || stat.Uid != owner || wantGroup >= 0 && int(stat.Gid) != wantGroup {
			p.t.Errorf("%s is %v of %d:%d, want %v of %d:%d", rel, info.Mode(), stat.Uid, stat.Gid, want, owner, wantGroup)
		}
		seen++
		return nil
	})
	if err != nil || seen < 12 {
		p.t.Fatalf("%d files: %v", seen, err)
	}
}

// The members of store.group can read what is published, and nothing else. Other
// users can read nothing. The umask doesn't matter.
func TestStoreGroup(t *testing.T) {
	p := newSharedSite(t, "\n  group: auditors")
	p.must(owner, "077", "oktasync apply", 0, "published")
	p.must(owner, "000", "oktasync apply", 0, "published")
	p.org.Wipe()
	p.must(owner, "022", "oktasync apply", 3, "quarantined")
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

// Without a group, only the owner can read the store, also with a umask of 0.
func TestStoreIsPrivate(t *testing.T) {
	p := newSharedSite(t, "")
	p.must(owner, "000", "oktasync apply", 0, "published")
	p.must(owner, "000", "oktasync apply", 0, "published")
	p.modes(owner, 0o600, 0o700)
	for _, uid := range []int{auditor, stranger} {
		p.must(uid, "022", "oktasync list --store snapshots", 1, "permission denied\noktasync: hint: this process runs as uid "+fmt.Sprint(uid)+": run it as the owner of these files;")
		p.must(uid, "022", "cat snapshots/oktasync.json", 1, "Permission denied")
	}
	p.must(stranger, "022", "oktasync apply", 1, "uid 61004 can't read oktasync.yaml (mode 0600, owner uid 61001)")
	p.must(owner, "022", "mkdir -m 700 own && cp oktasync.yaml own", 0, "")
	p.must(stranger, "022", "oktasync apply --config own/oktasync.yaml", 1, "uid 61004 can't read own/oktasync.yaml\n")
}

// Files that root creates in the store belong to its owner, who can continue.
func TestStoreUsedByRoot(t *testing.T) {
	for name, test := range map[string]struct {
		config    string
		group     int
		file, dir fs.FileMode
	}{
		"private": {"", owner, 0o600, 0o700},
		"group":   {"\n  group: auditors", auditors, 0o640, 0o750 | fs.ModeSetgid},
	} {
		t.Run(name, func(t *testing.T) {
			p := newSharedSite(t, test.config+"\n")
			p.must(owner, "022", "oktasync apply", 0, "published")
			p.must(0, "000", "oktasync apply", 0, "published")
			p.must(0, "077", "rm snapshots/all-users/latest/users.csv && oktasync apply", 0, "published")
			p.org.Wipe()
			p.must(0, "022", "oktasync apply", 3, "quarantined")
			p.must(0, "022", "oktasync quarantine drop all-users@$(ls snapshots/.quarantine/all-users) --reason x", 0, "dropped")
			p.org.Restore()
			p.modes(test.group, test.file, test.dir)
			p.must(owner, "022", "oktasync apply", 0, "published")
			p.must(owner, "022", "oktasync verify", 0, "OK. ")
		})
	}
}

// Root doesn't write to a file of its own that the store's owner has linked into the
// store.
func TestRootDoesNotWriteToHardLinks(t *testing.T) {
	p := newSharedSite(t, "")
	p.must(owner, "022", "oktasync apply", 0, "published")
	for _, name := range []string{".lock", "journal.ndjson"} {
		path, precious := p.path("snapshots/all-users", name), p.path("precious")
		genuine := read(t, path)
		write(t, precious, genuine)
		check(t, errors.Join(os.Remove(path), os.Link(precious, path)))
		r := p.run(t, "apply")
		if r.status != 1 || !strings.Contains(r.stderr, name+": is a hard link") {
			t.Errorf("apply with a hard-linked %s: status %d\n%s", name, r.status, r.stderr)
		}
		var stat syscall.Stat_t
		if err := syscall.Stat(precious, &stat); err != nil || stat.Uid != 0 || read(t, precious) != genuine {
			t.Errorf("root wrote to a linked file, which belongs to %d: %v", stat.Uid, err)
		}
		check(t, errors.Join(os.Remove(path), os.WriteFile(path, []byte(genuine), 0o600), os.Chown(path, owner, owner)))
		p.must(owner, "022", "oktasync apply", 0, "published")
		if r := p.run(t, "apply"); r.status != 0 { // as root
			t.Errorf("apply after a repair: status %d\n%s", r.status, r.stderr)
		}
	}
}
