package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// Holder says who holds a lock.
type Holder struct {
	PID     int    `json:"pid"`
	Host    string `json:"host"`
	User    string `json:"user"`
	Command string `json:"command"`
	Since   Time   `json:"since"`
}

// ThisProcess returns this process as a holder, on behalf of command.
func ThisProcess(command string) Holder {
	h := Holder{PID: os.Getpid(), User: strconv.Itoa(os.Getuid()), Command: command, Since: At(time.Now())}
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	h.Host, _ = os.Hostname()
	return h
}

// LockedError says who holds the lock that was asked for.
type LockedError struct {
	What   string // an export's name, or "store"
	Holder Holder // zero where the lock does not say
}

func (e *LockedError) Error() string {
	h := e.Holder
	if h.PID == 0 {
		return e.What + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by %s (process %d of %s on %s, since %s)", e.What, h.Command, h.PID, h.User, h.Host, h.Since)
}

// LockRun takes the store's lock, of which a daemon holds one for as long as
// it lives. Held by another process it is a *LockedError.
func (s *Store) LockRun(h Holder) (release func() error, err error) {
	lock, err := s.lock(s.dir, "store", h, 0)
	if err != nil {
		return nil, err
	}
	return lock.release, nil
}

// A lock is a file that an open descriptor holds by flock(2), so that the end
// of the process, however it comes, gives it up. It names its holder.
type lock struct {
	flock *flock.Flock
	path  string
}

// lock takes the lock in the folder dir for h, and waits for it if it must.
func (s *Store) lock(dir, what string, h Holder, wait time.Duration) (*lock, error) {
	l := &lock{path: filepath.Join(dir, lockFile)}
	l.flock = flock.New(l.path, flock.SetPermissions(s.private.file),
		flock.SetFlag(os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK))
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	ok, err := l.flock.TryLock()
	if err == nil && !ok && wait > 0 {
		ok, err = l.flock.TryLockContext(ctx, 10*time.Millisecond)
	}
	if err == nil && !ok || errors.Is(err, context.DeadlineExceeded) {
		return nil, &LockedError{What: what, Holder: l.holder()}
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", what, plainError(l.path, err))
	}
	if err := l.name(h, s.private); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", what, err), l.flock.Close())
	}
	return l, nil
}

// name writes who holds the lock, for people and for LockedError alone. It
// stays there when the lock is given up, and then nobody asks.
func (l *lock) name(h Holder, a access) error {
	data, err := MarshalCanonical(h)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	f, err := openPlain(l.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = a.apply(f, a.file)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	return errors.Join(err, f.Close())
}

// holder reads who holds the lock. One who is about to say so is the zero
// Holder.
func (l *lock) holder() (h Holder) {
	data, err := readBounded(l.path, 64<<10)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}

func (l *lock) release() error { return l.flock.Close() }
