package verify

import (
	"context"
	"fmt"

	"oktasync/reconcile/snapshot"
)

// Folder checks the folder of one snapshot without its store: the manifest, the
// digests, the records and the signature. It checks neither the chain nor the
// journal, and ignores o.Exports and o.Heads. The key of the signature must be accepted
// at o.Time, like that of a checkpoint. The error means the same as that of [Verify].
func Folder(ctx context.Context, dir string, o Options, report func(Finding)) (Summary, error) {
	v := newVerifier(nil, o, report)
	v.alone = true
	snap, err := snapshot.ReadFolder(dir)
	if err != nil {
		return v.sum, fmt.Errorf("verify: %w", err)
	}
	head := &link{Snapshot: snap}
	m := &snap.Manifest
	v.at = Progress{Export: m.Export, Expected: m.Total()}
	if _, err := v.checkSnapshot(ctx, head, nil); err != nil {
		return v.sum, fmt.Errorf("verify %s@%s: %w", m.Export, m.Snapshot, err)
	}
	v.checkUnsigned(&chain{export: m.Export, links: []*link{head}})
	v.checkCertificates(head)
	v.sum.Exports = 1
	return v.sum, nil
}
