package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// A userCheck reads the users of a snapshot once, for all that they are held
// against: their form, their order, how many there are of each status,
// users.csv, and, since it is a UserReader, the users of the snapshot before.
type userCheck struct {
	lines    *unpacker
	content  *digest
	shape    *shape
	csv      *csvCheck // nil: no file to compare with
	byStatus map[string]*int
	status   []byte
	passed   func() // is called for each user
	id, next []byte
	err      error // what ended it; io.EOF: all lines are good
}

// newUserCheck checks what is compressed in packed, and, unless it is nil, csv.
// Whatever comes of it, end has to be called.
func newUserCheck(attrs Attributes, packed, csv io.Reader) (*userCheck, error) {
	u := &userCheck{content: newDigest(), shape: new(shape), byStatus: make(map[string]*int)}
	if csv != nil {
		columns := NewColumns(attrs)
		u.shape, u.csv = &columns.shape, newCSVCheck(columns, csv)
	}
	var err error
	u.lines, err = unpack(packed, u.content)
	return u, err
}

// Next implements UserReader.
func (u *userCheck) Next() (User, error) {
	if u.err != nil {
		return User{}, u.err
	}
	var user User
	user, u.err = u.read()
	return user, u.err
}

// Close implements UserReader. The file stays open.
func (u *userCheck) Close() error { return nil }

func (u *userCheck) read() (User, error) {
	line, err := u.lines.next()
	if err != nil {
		return User{}, unpackError(err)
	}
	if u.shape.read(line) != nil {
		return User{}, fmt.Errorf("line %d is not canonical JSON", u.lines.n)
	}
	id := u.shape.id
	if len(id) <= 2 || id[0] != '"' {
		return User{}, fmt.Errorf("line %d: a user without an id", u.lines.n)
	}
	u.next = appendText(u.next[:0], id[1:len(id)-1])
	if u.lines.n > 1 && bytes.Compare(u.id, u.next) >= 0 {
		return User{}, fmt.Errorf("line %d: users are not in the order of their ids", u.lines.n)
	}
	u.id, u.next = u.next, u.id
	u.count(u.shape.status)
	u.passed()
	if u.csv != nil {
		u.csv.add()
	}
	return User{ID: u.id, JSON: line[:len(line)-1]}, nil
}

// count counts a user by status.
func (u *userCheck) count(status []byte) {
	u.status = u.status[:0]
	if len(status) > 0 && status[0] == '"' {
		u.status = appendText(u.status, status[1:len(status)-1])
	}
	n := u.byStatus[string(u.status)]
	if n == nil {
		n = new(int)
		u.byStatus[string(u.status)] = n
	}
	*n++
}

// end looks at the users that nobody has asked for, and returns what is wrong
// with all of them, and the error that reading them ended with.
func (u *userCheck) end(m *Manifest, file File) (problem, readErr error) {
	for u.err == nil {
		u.Next()
	}
	readErr = u.lines.stop()
	switch {
	case u.err != io.EOF:
		return u.err, readErr
	case u.content.String() != file.ContentSHA256:
		return fmt.Errorf("the digest of its content is %s, and the manifest says %s", u.content, file.ContentSHA256), readErr
	case u.lines.n != file.Rows:
		return fmt.Errorf("it has %d users, and the manifest says %d", u.lines.n, file.Rows), readErr
	}
	said := m.Resources.Users.ByStatus
	same := len(said) == len(u.byStatus)
	for status, n := range u.byStatus {
		same = same && said[status] == *n
	}
	if !same {
		return errors.New("its users by status are not those of the manifest"), readErr
	}
	return nil, readErr
}

// checkUsers looks at users.ndjson.zst and users.csv, and compares the users
// with those of before.
func (c *checkedSnapshot) checkUsers(ctx context.Context, before *checkedSnapshot, report reportFunc) (*difference, error) {
	packed, err := c.openFile(ctx, usersFile, report)
	if packed == nil {
		return nil, err
	}
	defer packed.Close()
	var rendered *hashedFile
	var csv io.Reader
	csvSaid, listed := c.Manifest.file(csvFile)
	if listed && !c.wrong[csvFile] {
		if rendered, err = c.openFile(ctx, csvFile, report); err != nil {
			return nil, err
		}
	}
	if rendered != nil {
		defer rendered.Close()
		csv = rendered
	}
	u, err := newUserCheck(c.Manifest.Declared.Users.Attributes, packed, csv)
	if err != nil {
		return nil, err
	}
	u.passed = c.passed
	d, diffErr := c.compare(ctx, before, u)
	said, _ := c.Manifest.file(usersFile)
	problem, readErr := u.end(&c.Manifest, said)
	if err := packed.hold(said, readErr, problem, report); err != nil {
		return nil, err
	}
	if rendered != nil {
		same, readErr := u.csv.end()
		if !same || csvSaid.Rows != c.Manifest.Resources.Users.Total {
			problem = errors.New("is not what the users render to")
		}
		if c.wrong[usersFile] {
			problem = nil // of no file
		}
		if err := rendered.hold(csvSaid, readErr, problem, report); err != nil {
			return nil, err
		}
	}
	if c.wrong[usersFile] || errors.Is(diffErr, fs.ErrNotExist) { // what it was compared with was pruned just now
		return nil, nil
	}
	return d, diffErr
}
