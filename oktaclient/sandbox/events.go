package sandbox

import (
	"crypto/rand"
	"sync"
	"time"
)

// event is one entry of the System Log.
type event struct {
	uuid, kind        string
	id, target        string // of the object, and its kind
	alternateID, name string
	published         time.Time
}

// events are the System Log in the order in which it was stored.
type events struct {
	mu    sync.Mutex
	first int // number of list[0] since the org began
	list  []event
}

const maxEvents = 100_000

func (e *events) add(now time.Time, kind string, u *object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	added := event{uuid: rand.Text(), kind: kind, id: u.id(), target: u.store.kind, published: now}
	if added.alternateID = text(u.text(), "profile.login"); u.store.kind != "User" {
		added.alternateID, added.name = "unknown", text(u.text(), "profile.name")
	}
	e.list = append(e.list, added)
	if len(e.list) > maxEvents {
		e.first += len(e.list) / 2
		e.list = append([]event(nil), e.list[len(e.list)/2:]...)
	}
}
