package snapshot

import (
	"errors"
	"fmt"
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
func ThisProcess(command string) Holder { return Holder{Command: command} }

// LockedError says who holds the lock that was asked for.
type LockedError struct {
	What   string // an export's name, or "store"
	Holder Holder // zero where the lock does not say
}

func (e *LockedError) Error() string {
	h := e.Holder
	if h.PID == 0 {
		return fmt.Sprintf("%s is locked", e.What)
	}
	return fmt.Sprintf("%s is locked by %s (process %d of %s on %s, since %s)", e.What, h.Command, h.PID, h.User, h.Host, h.Since)
}

// LockRun takes the store's lock, of which a daemon holds one for as long as
// it lives. Held by another process it is a *LockedError.
func (s *Store) LockRun(h Holder) (release func() error, err error) {
	return nil, errors.ErrUnsupported
}
