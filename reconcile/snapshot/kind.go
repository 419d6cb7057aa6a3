package snapshot

// Kind says what happened to a person.
type Kind string

const (
	Joined          Kind = "joined" // added, or activated for the first time
	Moved           Kind = "moved"  // one of the paths that Changes.Moved names
	KindDeactivated Kind = "deactivated"
	Reactivated     Kind = "reactivated"
	Suspended       Kind = "suspended"
	Unsuspended     Kind = "unsuspended"
	Deleted         Kind = "deleted" // removed
	KindChanged     Kind = "changed" // anything else
)

// Group is what people call a kind of change.
type Group string

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
	case KindDeactivated, Deleted:
		return Leavers
	}
	return Others
}
