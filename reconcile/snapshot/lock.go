package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
)

// A Holder is the process that holds a lock.
type Holder struct {
	PID     int    `json:"pid"`
	Host    string `json:"host"`
	User    string `json:"user"`
	Command string `json:"command"`
	Since   Time   `json:"since"`
}

// ThisProcess returns this process, which runs a command of oktasync.
func ThisProcess(command string) Holder {
	h := Holder{PID: os.Getpid(), User: strconv.Itoa(os.Getuid()), Command: command, Since: At(time.Now())}
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	h.Host, _ = os.Hostname()
	return h
}

// A LockedError means that another process holds a lock.
type LockedError struct {
	What   string // an export's name, or "store"
	Holder Holder // zero: unknown
}

func (e *LockedError) Error() string {
	h := e.Holder
	if h.PID == 0 {
		return e.What + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by %s (process %d of %s on %s, since %s)", e.What, h.Command, h.PID, h.User, h.Host, h.Since)
}

// A lock is a file that an open descriptor locks with flock(2). The end of the
// process releases it. The file contains its holder.
type lock struct{ file *os.File }

// take takes the lock. While another process holds it, take tries again, up to wait.
func (l *lock) take(wait time.Duration) error {
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) && (!errors.Is(err, syscall.EWOULDBLOCK) || !time.Now().Before(end)) {
			return err
		}
	}
}

// name writes the holder to the file, for people and for LockedError. A released lock
// keeps its last holder.
func (l *lock) name(h Holder, a access) error {
	data, err := canonjson.Marshal(h)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	err = a.apply(l.file, a.file)
	if err == nil {
		_, err = l.file.WriteAt(data, 0)
	}
	if err == nil {
		err = l.file.Truncate(int64(len(data)))
	}
	return err
}

// holder reads the holder. It is the zero Holder if it wasn't written yet.
func (l *lock) holder() (h Holder) {
	data, err := readAtMost(io.NewSectionReader(l.file, 0, 1<<20), 64<<10)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}
	}
	return h
}

func (l *lock) release() error { return l.file.Close() }
