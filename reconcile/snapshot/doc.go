// Package snapshot implements the store: folders of snapshots that are complete, dated,
// never half-written, and verifiable without this program.
//
// Package reconcile publishes snapshots with a [Writer], the commands read them
// through a [Store], and package verify checks them. Start reading at [Store], then
// at [Writer.Publish].
//
// # Files
//
// For a resource such as users or groups:
//
//	snapshots/
//	  oktasync.json                 the store's id, and the org to which it belongs
//	  .quarantine/EXPORT/NAME/      reads that a guard stopped, see QuarantinedRead; they are not evidence
//	  EXPORT/
//	    NAME/                       a snapshot: 20261123T060000Z, when its read began by Okta's clock
//	      RESOURCE.ndjson.zst       the records
//	      RESOURCE.csv              the records as CSV, if the declaration includes it
//	      group_members.parents.ndjson  the last read of each group, if members can be carried, see Parent
//	      RESOURCE.changes.ndjson   the changes since the previous snapshot, see diff.Change
//	      requests.ndjson           the transcript: every request of the read, see Request
//	      manifest.json             the declaration, the counts, the digest of every file, see Manifest
//	      manifest.json.sig         an SSHSIG over the manifest, for ssh-keygen -Y verify, if the store has a key
//	      manifest.json.tsr         a time stamp (RFC 3161) over the signature, if the store has an authority
//	      SHA256SUMS                every file except itself, the signature and the time stamp, for sha256sum -c
//	    pruned/NAME/                manifest.json, its signature and its time stamp, of a pruned snapshot;
//	                                its changes files until they expire, see Retention.Changes
//	    latest -> NAME
//	    journal.ndjson              one line per event, see Event
//	    checkpoint                  the signed end of the journal and the chain, see Checkpoint
//	    .lock                       locked by the one Writer
//
// Records are canonical JSON (see canonjson.Canonical), one per line, in the order
// of the bytes of their keys, each key once, compressed as one zstd frame. Numbers
// keep the text that Okta sent. All other JSON is as in RFC 8785, and ends
// with a line feed. A digest is the SHA-256 of a file on disk, in lower-case hex.
// content_sha256 is the digest of the uncompressed content.
//
// The records of group_members, app_users and app_groups are edges: each connects a
// record of its parent resource with a record of another one, and its key consists of
// their ids. A snapshot with an edge also has the record of its parent. In the CSV file
// of edges, the first columns are the names of both ends, as the same snapshot records
// them. A missing
// edge is revoked if the later snapshot has its parent, or if the parent was proved
// deleted; otherwise it is not_listed.
//
// # Chain
//
// Snapshots form a chain. The sequence starts at 1 and grows by 1. Each manifest
// has the digest of the previous one. Each name is at least one second later than
// the previous name.
//
// The base of a resource is "previous" if its records were compared with those of the
// last snapshot that has the resource; "none" if no earlier snapshot has records of the resource, or if
// the resource couldn't be read; and "reset" if the search or include_deprovisioned was
// different, or if the earlier records were erased. Only a resource with the base
// "previous" has a changes file; the counts of changes of the others are 0.
//
// If an optional resource couldn't be read, the snapshot has no files of it. In its
// counts, available is false, reason has the reason, and last names the newest snapshot
// with its records, if there is one. The next read is compared with that snapshot, and
// retention keeps it.
//
// The journal is a chain too: previous_line_sha256 is the digest of the previous
// line with its line feed (sed -n 40p journal.ndjson | sha256sum), and null in the
// first line. The manifest has the number of lines and the digest of the last one.
// Both describe the whole journal just before the event "published" is appended.
//
// An incremental refresh carries the members of unchanged groups over from the previous
// snapshot. group_members.parents.ndjson has a line for each group: the time and the
// snapshot of its last read, and the number and the digest of its members. A group was
// read if the transcript has a response to the first page of its list. If it has several,
// the last one is the read of the group. The line of a carried group is that of the
// previous snapshot.
//
// For each resource, rows is the sum of the rows of its requests in requests.ndjson, and
// equals total - carried + duplicates + outside. duplicates are further copies of a
// record. outside are rows that don't become records, for example because the record was
// deleted during the read. Token requests have the resource "token".
//
// # Checkpoint
//
// A checkpoint covers the first lines of the journal, and the chain up to one
// snapshot. Before a Writer writes, it checks the checkpoint, the last covered line
// and the newest manifest. If they don't match, it writes nothing until
// [Store.Adopt] accepts the state. Before the Writer uses an older line or snapshot, it
// checks the digests from the checkpoint back to it. The lines after the covered
// ones are the tail. They have no effect, except as described below.
//
// # States after a crash
//
// Names that begin with a dot and end in .partial are unfinished, and no reader uses
// them. A crash can leave the following states. Verify reports them as unfinished,
// and the next Writer does this:
//
//   - A partial file or folder: remove it.
//   - A tail without a snapshot: cut it, append "repaired", replace the checkpoint. A
//     quarantined read that only the tail names is removed first.
//   - One snapshot that the checkpoint doesn't cover, with the next sequence, and a
//     tail with the line that its manifest names: keep the tail up to that line, cut the
//     rest, append "repaired" and "published", replace the checkpoint and latest.
//   - The checkpoint covers the newest snapshot, and latest doesn't point to it, or a
//     CSV file of it is missing: restore them, append "repaired".
//   - The checkpoint covers an event "pruned", but the snapshot is still in its place:
//     do nothing. The next prune decides again. But if it is the newest snapshot, remove
//     its records: a person erased it, because retention never prunes the newest one.
//   - The checkpoint covers an event "pruned", but pruned/NAME still contains records:
//     remove the records.
//   - The checkpoint covers an event "dropped", or "published" with the digest of a
//     quarantined read, but the read still exists: remove the read.
//
// Any other mismatch is tampering or damage. Package snapshot never rewrites
// evidence.
package snapshot
