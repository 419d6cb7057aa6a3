// The format on disk:
//
//	snapshots/
//	  oktasync.json                 the store's id, and the org it belongs to
//	  .quarantine/EXPORT/NAME/      readings that a guard held back: no evidence
//	  EXPORT/
//	    NAME/                       a snapshot: 20261123T060000Z, when its reading began by Okta's clock
//	      users.ndjson.zst          its users
//	      users.csv                 the same, rendered, where the declaration asks for it
//	      users.changes.ndjson      what is different from the snapshot before, see Change
//	      requests.ndjson           what was asked of Okta and what came, see Request
//	      manifest.json             all of this with its digests, see Manifest
//	      manifest.json.sig         an SSHSIG over it, for ssh-keygen -Y verify, where the store has a key
//	      SHA256SUMS                every file but itself and the signature, for sha256sum -c
//	    pruned/NAME/                of a snapshot that retention removed, manifest.json and its signature
//	    latest -> NAME
//	    journal.ndjson              what happened, a line an event, see Event
//	    .lock                       held by the one Writer
//
// Users are canonical JSON (see Canonical), one a line, in the order of the
// bytes of their ids, each id once, compressed as one zstd frame. Numbers keep
// the text that Okta sent. Everything else is JSON as RFC 8785 writes it, and
// ends with a line feed. A digest is the SHA-256 in lower-case hex of a file
// as it is on disk; content_sha256 is that of what is compressed in it.
//
// Snapshots are a chain. The sequence starts at 1 and grows by 1, each
// manifest has the digest of the one before, and names are later than the name
// before, by a second at least. The first snapshot has the base "none", no
// previous one, no changes and all counts of changes 0. Where other users are
// declared than before, the base is "reset", and again there are no changes.
//
// The journal is a chain too: previous_line_sha256 is the digest of the line
// before with its line feed (sed -n 40p journal.ndjson | sha256sum), null in
// the first. The manifest has the number of lines, and the digest of the last,
// as they stood when it was made: after "started", before "intent".
//
// Pages and users add up: rows in requests.ndjson = read.rows = users +
// duplicates + outside.
//
// Where the newest snapshot is not the one that the journal published last, or a
// line "failed" names one that was published and is gone, nothing is published
// until a line "adopted" follows. The next manifest then has a member adopted,
// which excuses what it goes on from and what is gone since.
//
// Names that end in .partial are unfinished, and nothing reads them. A crash
// can leave: one such folder; an intent in the journal without its folder; a
// folder with its intent and no "published", with latest on it or on the one
// before; a torn last line of the journal; a tombstone beside its snapshot, of
// which the journal says last that it was pruned, or nothing; a folder
// .NAME.pruned. Verify calls these an unfinished publish or prune, and the
// next Writer mends them. What else does not fit is tampering
// or damage. Package snapshot never rewrites evidence.
package snapshot
