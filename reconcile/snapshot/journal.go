package snapshot

// Events of the journal.
const (
	EventStarted     = "started"
	EventIntent      = "intent"
	EventPublished   = "published"
	EventUnchanged   = "unchanged"
	EventQuarantined = "quarantined"
	EventReleased    = "released"
	EventFailed      = "failed"
	EventCancelled   = "cancelled"
	EventPruned      = "pruned"
	EventRepaired    = "repaired"
	EventVerified    = "verified"
)

// An Event is a line of the journal.
type Event struct {
	Time               Time    `json:"time"`   // Journal fills in the time,
	Export             string  `json:"export"` // the export
	Event              string  `json:"event"`
	Snapshot           string  `json:"snapshot,omitempty"`
	ManifestSHA256     string  `json:"manifest_sha256,omitempty"`
	Error              string  `json:"error,omitempty"`
	User               string  `json:"user,omitempty"` // the lock's holder where it is empty,
	Reason             string  `json:"reason,omitempty"`
	PreviousLineSHA256 *string `json:"previous_line_sha256"` // and the chain; null in the first line
}

// History is what a journal says at a glance. An event that never happened
// is the zero Event.
type History struct {
	Lines         int
	Head          string // digest of the last line, line feed included
	LastStarted   Event
	LastEnd       Event // published, unchanged, quarantined, failed or cancelled
	LastPublished Event
	Open          Event // an intent that neither published nor repaired has followed
	Damaged       int   // lines that are no events
	Torn          bool  // the last line has no line feed
}
