package verify

import (
	"errors"
	"fmt"
	"io/fs"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// checkSigned checks the signature of a manifest. Its key must be accepted at the
// time at which the manifest was signed: the checkpoint, whose key is accepted now,
// covers that time. The key of a snapshot alone, without its store, must be accepted
// now. Without allowed signers, the signature proves only that the
// signer had the key with this fingerprint.
func (v *verifier) checkSigned(snap *link, report reportFunc) {
	m := &snap.Manifest
	if m.SignedBy == nil {
		return
	}
	key, err := snap.Signer()
	principals := ""
	if err == nil && v.signers != nil {
		principals, err = v.signers.Check(key, sign.Snapshot, m.Signed.Time, v.principals...)
	}
	if err == nil && v.signers != nil && v.alone {
		if _, err = v.signers.Check(key, sign.Snapshot, v.now, v.principals...); err != nil {
			err = fmt.Errorf("%w; without the store, nothing but the signer's own claim shows when it was signed", err)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		report(snapshot.SignatureFile, "is missing")
	case err != nil:
		report(snapshot.SignatureFile, "%v", err)
	default:
		v.count(Signed{Export: m.Export, Fingerprint: *m.SignedBy, Principals: principals})
	}
}

// checkUnsigned reports the snapshots that are not signed in an export that is, or
// must be.
func (v *verifier) checkUnsigned(c *chain) {
	first, last := 0, 0
	anySigned := v.signers != nil || v.signed || c.checkpoint != nil && c.checkpoint.SignedBy != nil
	for _, snap := range c.links {
		if snap.Manifest.SignedBy != nil {
			anySigned = true
			continue
		}
		last = snap.Manifest.Sequence
		if first == 0 {
			first = last
		}
	}
	if anySigned && first > 0 {
		v.add(Finding{Export: c.export, Problem: fmt.Sprintf("snapshots from sequence %d to %d are not signed", first, last)})
	}
}

// count counts a manifest for its key.
func (v *verifier) count(s Signed) {
	for i := range v.sum.Signed {
		known := &v.sum.Signed[i]
		if known.Export == s.Export && known.Fingerprint == s.Fingerprint && known.Principals == s.Principals {
			known.Manifests++
			return
		}
	}
	s.Manifests = 1
	v.sum.Signed = append(v.sum.Signed, s)
}

// checkReconciled adds a note if the newest snapshot has other members than Okta counts.
func (v *verifier) checkReconciled(head *link) {
	if c := head.Manifest.Control; c != nil && !c.Reconciled {
		v.add(Finding{
			Export: head.Manifest.Export, Snapshot: head.Name(), File: snapshot.ManifestFile, Note: true,
			Problem: "is not reconciled: Okta counts other members than were read, so the app may see only a part of the org",
		})
	}
}

// checkCertificates adds a note for each certificate of a private CA.
func (v *verifier) checkCertificates(head *link) {
	for _, tls := range head.Manifest.Org.TLS {
		if tls.PrivateCA {
			v.add(Finding{
				Export: head.Manifest.Export, Snapshot: head.Name(), File: snapshot.ManifestFile, Note: true,
				Problem: fmt.Sprintf("a private CA (%s) signed the certificate of the server that answered %d of %d requests; an impostor could present such a certificate",
					tls.Issuer, tls.Requests, head.Manifest.Read.Requests),
			})
		}
	}
}
