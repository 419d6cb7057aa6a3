package snapshot

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
)

// A difference is what the users of a snapshot are after those of another.
type difference struct {
	counts Counts
	sum    *digest // of the changes file
}

// rulesAfter says how c is compared with before, and what its base is by that.
// Where the chain is broken between them, it does not follow.
func (c *checkedSnapshot) rulesAfter(before *checkedSnapshot) (rules Rules, base string, follows bool) {
	var declared *Declaration
	if link := c.Manifest.Previous; link != nil {
		if before == nil || before.Digest != link.ManifestSHA256 {
			return Rules{}, "", false
		}
		declared = &before.Manifest.Declared
	}
	rules, base = RulesFor(declared, c.Manifest.Declared)
	return rules, base, true
}

// compare compares users with those of before. Where there is nothing to compare
// it returns nil.
func (c *checkedSnapshot) compare(ctx context.Context, before *checkedSnapshot, users UserReader) (*difference, error) {
	rules, base, follows := c.rulesAfter(before)
	if !follows || base != BasePrevious || !before.users {
		return nil, nil
	}
	f, err := openPlain(filepath.Join(before.dir, usersFile), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := unpack(cancelReader{ctx, f}, io.Discard)
	if err != nil {
		return nil, err
	}
	defer lines.stop()
	d := &difference{sum: newDigest()}
	var line []byte
	d.counts, err = Diff(&earlierUsers{lines: lines}, users, rules, func(change *Change) (err error) {
		if line, err = change.Line(line[:0]); err == nil {
			_, err = d.sum.Write(line)
		}
		return err
	})
	return d, err
}

// earlierUsers reads users that have been checked.
type earlierUsers struct {
	lines *unpacker
	id    []byte
}

func (u *earlierUsers) Next() (User, error) {
	line, err := u.lines.next()
	if err != nil {
		return User{}, unpackError(err)
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	u.id, err = userID(u.id[:0], line)
	return User{ID: u.id, JSON: line}, err
}

func (u *earlierUsers) Close() error { return nil }

// checkChanges holds the difference with the snapshot before against the changes
// file and the manifest.
func (c *checkedSnapshot) checkChanges(before *checkedSnapshot, d *difference, report reportFunc) {
	said := c.Manifest.Resources.Users
	file, listed := c.Manifest.file(changesFile)
	if listed != (said.Base == BasePrevious) {
		report(changesFile, "does not fit the base %q", said.Base)
		return
	}
	_, base, follows := c.rulesAfter(before)
	if !follows {
		return // and that has been said
	}
	if base != said.Base {
		report(manifestFile, "its base is %q, and should be %q", said.Base, base)
		return
	}
	if d == nil || c.wrong[changesFile] {
		return
	}
	counts := d.counts
	switch {
	case d.sum.String() != file.SHA256:
		report(changesFile, "is not the difference with %s", before.Name())
	case counts.Added != said.Added || counts.Changed != said.Changed || counts.Removed != said.Removed,
		!maps.Equal(counts.Kinds, said.Kinds):
		report(manifestFile, "its counts are not those of the difference with %s", before.Name())
	}
}
