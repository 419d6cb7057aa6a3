// The format on disk, for a resource such as users or groups:
//
//	snapshots/
//	  oktasync.json                 the store's id, and the org to which it belongs
//	  .quarantine/EXPORT/NAME/      reads that a guard stopped, see QuarantinedRead; they are not evidence
//	  EXPORT/
//	    NAME/                       a snapshot: 20261123T060000Z, when its read began by Okta's clock
//	      RESOURCE.ndjson.zst       the records
//	      RESOURCE.csv              the records as CSV, if the declaration includes it
//	      RESOURCE.changes.ndjson   the changes since the previous snapshot, see diff.Change
//	      requests.ndjson           the transcript: every request of the read, see Request
//	      manifest.json             the declaration, the counts, the digest of every file, see Manifest
//	      manifest.json.sig         an SSHSIG over the manifest, for ssh-keygen -Y verify, if the store has a key
//	      SHA256SUMS                every file except itself and the signature, for sha256sum -c
//	    pruned/NAME/                manifest.json and its signature, of a pruned snapshot
//	    latest -> NAME
//	    journal.ndjson              one line per event, see Event
//	    .lock                       the one Writer holds it
//
// Records are canonical JSON (see canonjson.Canonical), one per line, in the order
// of the bytes of their keys, each key once, compressed as one zstd frame. Numbers
// keep the text that Okta sent. Everything else is JSON as in RFC 8785 and ends
// with a line feed. A digest is the SHA-256 of a file on disk, in lower-case hex.
// content_sha256 is the digest of the uncompressed content.
//
// Snapshots form a chain. The sequence starts at 1 and grows by 1. Each manifest
// has the digest of the previous one. Each name is at least one second later than
// the previous name. The base of a resource is "none" if the previous snapshot
// doesn't record it, "reset" if other records were declared, and otherwise
// "previous". Only a resource with the base "previous" has a changes file; the
// counts of changes of the others are 0.
//
// The journal is a chain too: previous_line_sha256 is the digest of the previous
// line with its line feed (sed -n 40p journal.ndjson | sha256sum), and null in the
// first line. The manifest has the number of lines, and the digest of the last one,
// at the time between the events started and intent.
//
// Counts add up, for each resource: the rows of its requests in requests.ndjson =
// rows = total + duplicates + outside. Token requests have the resource "token".
//
// Nothing is published if the newest snapshot isn't the one that the journal
// published last, or if an event failed names a published snapshot that is missing.
// An event adopted ends this. The next manifest then has a member adopted, which
// accepts the snapshot that it follows and the ones that are missing.
//
// Names that end in .partial are unfinished, and no reader uses them. A crash can
// leave: one such folder; an intent in the journal without its folder; a folder
// with its intent and without published, while latest points to it or to the
// previous one; a torn last line of the journal; a tombstone beside its snapshot
// that the journal reports last as pruned, or doesn't report; a folder
// .NAME.pruned. Verify reports these as an unfinished publish or prune, and the
// next Writer completes them or rolls them back. Any other mismatch is tampering
// or damage. Package snapshot never rewrites evidence.
package snapshot
