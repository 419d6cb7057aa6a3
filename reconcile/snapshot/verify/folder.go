package verify

import (
	"context"
	"fmt"

	"oktasync/reconcile/snapshot"
)

// Folder checks the folder of one snapshot without its store: the manifest, the
// digests, the records and the signature. It checks neither the chain nor the
// journal, and ignores o.Exports. The error means the same as that of [Verify].
func Folder(ctx context.Context, dir string, o Options, report func(Finding)) (Summary, error) {
	v := newVerifier(nil, o, report)
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
	v.checkHeads(&chain{export: m.Export, links: []*link{head}})
	v.checkAnchor(head)
	v.checkCertificates(head)
	v.sum.Exports = 1
	v.sum.Heads = append(v.sum.Heads, Head{Export: m.Export, Sequence: m.Sequence, Snapshot: m.Snapshot, Digest: snap.Digest})
	return v.sum, nil
}
