package access

import (
	"cmp"
	"io"
	"iter"
	"strings"

	"oktasync/reconcile/snapshot/canonjson"
)

// A Person has the attributes of a user's record that rows contain. An attribute that isn't
// recorded is empty.
type Person struct {
	ID, Login, Name, Status, Department string
	Created, StatusChanged, LastLogin   string
	Manager                             string // or its id
}

// A PersonReader reads persons from records of users. It isn't safe for concurrent use.
type PersonReader struct {
	texts                            *canonjson.Texts
	person                           Person
	displayName, firstName, lastName string
	manager, managerID               string
}

// NewPersonReader returns a PersonReader.
func NewPersonReader() *PersonReader {
	r := new(PersonReader)
	p := &r.person
	r.texts = canonjson.NewTexts(map[string]*string{
		"id": &p.ID, "status": &p.Status, "created": &p.Created, "statusChanged": &p.StatusChanged, "lastLogin": &p.LastLogin,
		"profile.login": &p.Login, "profile.department": &p.Department,
		"profile.displayName": &r.displayName, "profile.firstName": &r.firstName, "profile.lastName": &r.lastName,
		"profile.manager": &r.manager, "profile.managerId": &r.managerID,
	})
	return r
}

// Read returns the person of a record of users. The error is [canonjson.ErrNotCanonical].
func (r *PersonReader) Read(user []byte) (Person, error) {
	err := r.texts.Read(user)
	p := r.person
	if p.Name = r.displayName; p.Name == "" {
		p.Name = strings.TrimSpace(r.firstName + " " + r.lastName)
	}
	p.Manager = cmp.Or(r.manager, r.managerID)
	return p, err
}

// A userCursor finds users by ascending ids. It reads them in its own goroutine, a few
// batches ahead. The caller must close it.
type userCursor struct {
	batches chan []Person // closed at the end
	quit    chan struct{} // closed by close
	err     error         // of the goroutine; set before batches is closed
	panic   any           // like err
	users   []Person      // received, and not taken yet
}

var userBatch = 64

func newUserCursor(users iter.Seq2[[]byte, error]) *userCursor {
	c := &userCursor{batches: make(chan []Person, 4), quit: make(chan struct{})}
	go c.read(users)
	return c
}

func (c *userCursor) read(users iter.Seq2[[]byte, error]) {
	defer close(c.batches)
	defer func() { c.panic = recover() }()
	people := NewPersonReader()
	var batch []Person
	for record, err := range users {
		var p Person
		if err == nil {
			p, err = people.Read(record)
		}
		if err != nil {
			c.err = err
			return
		}
		if batch = append(batch, p); len(batch) == userBatch {
			if !c.send(batch) {
				return
			}
			batch = make([]Person, 0, userBatch)
		}
	}
	c.send(batch)
}

// send reports whether the cursor is still open.
func (c *userCursor) send(batch []Person) bool {
	select {
	case c.batches <- batch:
		return true
	case <-c.quit:
		return false
	}
}

// load makes sure that there is a current user, the first of c.users. At the end, it
// returns io.EOF.
func (c *userCursor) load() error {
	for len(c.users) == 0 {
		batch, ok := <-c.batches
		if !ok {
			if c.panic != nil {
				panic(c.panic)
			}
			return cmp.Or(c.err, io.EOF)
		}
		c.users = batch
	}
	return nil
}

// take returns the user with this id, or the zero Person if there is none.
func (c *userCursor) take(id string) (Person, error) {
	for {
		if err := c.load(); err == io.EOF {
			return Person{}, nil
		} else if err != nil {
			return Person{}, err
		}
		user := c.users[0]
		if user.ID > id {
			return Person{}, nil
		}
		if c.users = c.users[1:]; user.ID == id {
			return user, nil
		}
	}
}

// finish reads the remaining users: only the end of a file shows that its digest is wrong.
func (c *userCursor) finish() error {
	for {
		c.users = nil
		if err := c.load(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// close waits until the goroutine has ended.
func (c *userCursor) close() {
	close(c.quit)
	for range c.batches {
	}
}
