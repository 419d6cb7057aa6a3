package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// checkStore sees whether the store is this org's and can be written, or made.
func checkStore(_ context.Context, x *checker) Finding {
	path, group := x.cfg.Store.Path, x.cfg.Store.Group
	options, err := org.GroupOptions(x.cfg)
	if err != nil {
		return failed(inConfig, "correct store.group, or make the group: groupadd "+group, "there is no group %s on this machine", term.Word(group))
	}
	err = snapshot.Probe(path, snapshot.Org{URL: x.cfg.Okta.OrgURL}, options)
	var other *snapshot.OrgError
	switch {
	case errors.As(err, &other):
		return failed(inConfig, "set another store.path for this org: a store belongs to one for good", "%v", err)
	case errors.Is(err, syscall.EROFS):
		return failed(onHost, "mount it for writing, or set store.path to a disk that is", "%v", err)
	case errors.Is(err, syscall.EPERM) && group != "":
		return failed(onHost, fmt.Sprintf("usermod -a -G %s %s: only members may give files to a group", group, config.CurrentUser()), "%s is not in the group %s", config.CurrentUser(), group)
	case errors.Is(err, os.ErrPermission):
		return failed(onHost, fmt.Sprintf("let the user %s write there, or run as the one that owns it", config.CurrentUser()), "%v", err)
	case err != nil:
		return failed(inConfig, "set store.path to a folder of its own", "%v", err)
	}
	if x.newest() == nil {
		return ok("%s can be written, and holds no snapshot yet", path)
	}
	return ok("%s belongs to %s and can be written", path, x.cfg.Okta.OrgURL)
}

// checkSpace holds the space that is left against what the exports declare.
func checkSpace(_ context.Context, x *checker) Finding {
	free, err := freeBytes(x.cfg.Store.Path)
	if err != nil {
		return warning(onHost, "see how much space is left there", "space of %s is not known: %v", x.cfg.Store.Path, err)
	}
	n := x.spaceNeeded()
	text := fmt.Sprintf("%s free", term.Bytes(free))
	switch {
	case n.one == 0:
		return ok("%s; what a snapshot takes is not known before the first", text)
	case free < 2*n.one:
		return failed(onHost, "free some, or set store.path to a larger disk", "%s, and a snapshot takes %s, and twice that while it is made", text, term.Bytes(n.one))
	case n.declared > free:
		return warning(inConfig, "keep fewer by retain, or set store.path to a larger disk", "%s, and what retain keeps will come to %s more", text, term.Bytes(n.declared))
	case n.yearly > free:
		return warning(inConfig, "set retain, or set store.path to a larger disk", "%s, and everything is kept: %s a year", text, term.Bytes(n.yearly))
	case n.yearly > 0:
		return ok("%s; everything is kept: %s a year", text, term.Bytes(n.yearly))
	}
	return ok("%s; what retain keeps will come to %s more", text, term.Bytes(n.declared))
}

// spaceNeeded is how many bytes the store will grow by.
type spaceNeeded struct {
	one      int64 // a snapshot of each export
	declared int64 // until retention has its full number; 0: where an export keeps everything
	yearly   int64 // of the exports that keep everything
}

// userBytes is what a user takes in a snapshot, compressed and as CSV with every
// attribute, where no snapshot tells: 10,000 take 10 MB.
const userBytes = 1000

func (x *checker) spaceNeeded() (n spaceNeeded) {
	store, _ := org.OpenExisting(x.cfg) // checkStore tells of trouble
	for _, e := range x.cfg.Exports {
		size, have := int64(max(x.users.n, x.Users))*userBytes, 0
		if store != nil {
			if list, err := store.List(e.Name); err == nil && len(list) > 0 {
				size, have = snapshotBytes(list[len(list)-1]), len(list)
			}
		}
		n.one += size
		if kept := retained(e.Retain); kept > 0 {
			n.declared += size * int64(max(kept-have, 0))
		} else {
			n.yearly += size * int64(yearlyRuns(e))
		}
	}
	return n
}

func snapshotBytes(s *snapshot.Snapshot) (bytes int64) {
	const others = 16 << 10 // manifest, signature and sums
	for _, f := range s.Manifest.Files {
		bytes += f.Bytes
	}
	return bytes + others
}

// retained is the most snapshots that a retention keeps, 0 for all.
func retained(r reconcile.Retain) int { return r.Last + r.Daily + r.Weekly + r.Monthly + r.Yearly }

// yearlyRuns is how often an export's schedule comes in a year: as in the next
// week, or daily where it has none.
func yearlyRuns(e reconcile.Export) int {
	when, err := scheduler.Parse(e.Schedule, e.Location())
	if err != nil || e.Schedule == "" {
		return 365
	}
	runs, start := 0, time.Now()
	for at := when.Next(start); at.Before(start.AddDate(0, 0, 7)); at = when.Next(at) {
		runs++
	}
	return max(runs*52, 1)
}

func freeBytes(path string) (int64, error) {
	dir, err := snapshot.Existing(path)
	if err != nil {
		return 0, err
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// checkSigningKey loads the key that signs snapshots, and says who may read it.
func checkSigningKey(_ context.Context, x *checker) Finding {
	file := x.cfg.Store.SigningKeyFile
	if file == "" {
		if newest := x.newest(); newest != nil && newest.Manifest.SignedBy != nil {
			return failed(inConfig, "set store.signing_key_file: nothing unsigned may follow what is signed",
				"none, and snapshot %s is signed by %s", newest.Name(), *newest.Manifest.SignedBy)
		}
		return ok("none: snapshots are not signed")
	}
	signer, err := snapshot.LoadSigner(file)
	if err != nil {
		return fileFinding(err, file, "store.signing_key_file", 0o077,
			"set store.signing_key_file to an Ed25519 key without a passphrase; `oktasync init --signing-key` makes one")
	}
	x.signer = signer
	if within(file, x.cfg.Store.Path) {
		return failed(inConfig, "move the key out of the store, and set store.signing_key_file to where it is",
			"%s lies in the store: whoever gets that gets the key", file)
	}
	return ok("%s: %s, %s", file, signer.Fingerprint(), config.Access(file))
}

// checkAllowedSigners sees whether verify would accept what is signed here.
func checkAllowedSigners(_ context.Context, x *checker) Finding {
	file := x.cfg.Store.AllowedSignersFile
	if file == "" {
		return ok("none: verify says \"not anchored\"")
	}
	signers, err := org.AllowedSigners(file)
	switch {
	case err != nil:
		return failed(inConfig, "set store.allowed_signers_file to a file as ssh-keygen(1) describes it; `oktasync init --signing-key` prints a line of one", "%v", err)
	case within(file, x.cfg.Store.Path):
		return failed(inConfig, "move it out of the store, and set store.allowed_signers_file to where it is",
			"%s lies in the store: whoever can write there could vouch for himself", file)
	case x.signer == nil:
		return ok("%s", file)
	}
	if err := signers.Allows(x.signer, time.Now()); err != nil {
		return failed(onHost, fmt.Sprintf("have the auditor add a line to %s: %s", file, x.signer.AllowedSigner("WHO")),
			"verify would refuse what is signed here: the signature %v", err)
	}
	return ok("%s accepts the signing key", file)
}

// within reports whether file lies in the folder dir, links followed.
func within(file, dir string) bool {
	real := func(path string) string {
		if path, err := filepath.EvalSymlinks(path); err == nil {
			if path, err := filepath.Abs(path); err == nil {
				return path
			}
		}
		return path
	}
	rel, err := filepath.Rel(real(dir), real(file))
	return err == nil && filepath.IsLocal(rel)
}
