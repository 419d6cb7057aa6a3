package snapshot

import (
	"bytes"
	"slices"
)

// Kind says what happened to a person.
type Kind string

// A change is of the first kind that fits, in the order deleted, joined,
// deactivated, reactivated, suspended, unsuspended, moved, changed.
const (
	Joined      Kind = "joined" // added, or activated for the first time
	Moved       Kind = "moved"  // one of the paths that Changes.Moved names
	Deactivated Kind = "deactivated"
	Reactivated Kind = "reactivated"
	Suspended   Kind = "suspended"
	Unsuspended Kind = "unsuspended"
	Deleted     Kind = "deleted" // removed
	Changed     Kind = "changed" // anything else
)

// Group is what people call a kind of change.
type Group string

// The groups, in the order in which people read them.
const (
	Joiners Group = "joiners"
	Movers  Group = "movers"
	Leavers Group = "leavers"
	Others  Group = "others"
)

// Group returns the group that k belongs to.
func (k Kind) Group() Group {
	switch k {
	case Joined, Reactivated:
		return Joiners
	case Moved:
		return Movers
	case Deactivated, Deleted:
		return Leavers
	}
	return Others
}

// The statuses of Okta that kinds go by.
const (
	staged        = "STAGED"
	suspended     = "SUSPENDED"
	deprovisioned = "DEPROVISIONED"
)

// kindOf returns the kind of a change of a record that was there before and
// is there after. paths are the ones that count; a status that is ignored
// makes no kind.
func kindOf(from, to string, paths, moved []string) Kind {
	if slices.Contains(paths, "status") {
		switch {
		case from == staged && to != deprovisioned: // Okta has no way back to STAGED
			return Joined
		case to == deprovisioned:
			return Deactivated
		case from == deprovisioned:
			return Reactivated
		case to == suspended:
			return Suspended
		case from == suspended:
			return Unsuspended
		}
	}
	for _, path := range paths {
		if coversAny(moved, path) {
			return Moved
		}
	}
	return Changed
}

// statuses returns the status of two users in canonical form.
func statuses(a, b []byte) (string, string, error) {
	from, err := text(a, "status")
	if err != nil {
		return "", "", err
	}
	to, err := text(b, "status")
	return from, to, err
}

// deactivated reports whether a user in canonical form is deactivated. It
// looks at every user of an org, and walks over few.
func deactivated(user []byte) (bool, error) {
	if !bytes.Contains(user, []byte(deprovisioned)) {
		return false, nil
	}
	status, err := text(user, "status")
	return status == deprovisioned, err
}

// login returns profile.login of a user in canonical form, or "".
func login(user []byte) (string, error) {
	profile, err := find(user, "profile")
	if err != nil || !isObject(profile) {
		return "", err
	}
	return text(profile, "login")
}

// text returns what a string in an object in canonical form says, or "" where
// there is no such string.
func text(object []byte, name string) (string, error) {
	value, err := find(object, name)
	if err != nil || len(value) < 2 || value[0] != '"' {
		return "", err
	}
	return string(appendText(nil, value[1:len(value)-1])), nil
}
