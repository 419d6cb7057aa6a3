package sandbox

import (
	"crypto/rand"
	"sync"
	"time"
)

// event is one entry of the System Log.
type event struct {
	uuid, kind, id, login string
	published             time.Time
}

// events are the System Log in the order in which it was stored.
type events struct {
	mu    sync.Mutex
	first int // number of list[0] since the org began
	list  []event
}

const maxEvents = 100_000

func (e *events) add(now time.Time, kind string, u *user) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event{rand.Text(), kind, u.id(), text(u.text(), "profile.login"), now})
	if len(e.list) > maxEvents {
		e.first += len(e.list) / 2
		e.list = append([]event(nil), e.list[len(e.list)/2:]...)
	}
}
