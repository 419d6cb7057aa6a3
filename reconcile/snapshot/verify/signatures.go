package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"oktasync/reconcile/snapshot"
)

// Signed counts what one key has signed of an export.
type Signed struct {
	Export      string `json:"export"`
	Fingerprint string `json:"fingerprint"`
	Principals  string `json:"principals"` // whose key it is; "": nobody has said, the signatures are not anchored
	Manifests   int    `json:"manifests"`
}

// signedAt is when a manifest was signed, as far as it says so itself.
func signedAt(m *snapshot.Manifest) time.Time {
	if o := m.Run.Override; o != nil && o.Released != nil {
		return o.Released.Time
	}
	return m.Read.Finished.Time
}

// checkSigned holds the signature beside a manifest against the manifest and
// the allowed signers. Without allowed signers it proves no more than that
// whoever signed had the key with that fingerprint.
func (v *verifier) checkSigned(snap *link, report reportFunc) {
	m := &snap.Manifest
	if m.SignedBy == nil {
		return
	}
	key, err := snapshot.CheckSignature(snap.Dir(), *m.SignedBy)
	principals := ""
	if err == nil && v.signers != nil {
		principals, err = v.signers.Check(key, snapshot.SignNamespace, signedAt(m))
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

// count adds a manifest to what its key has signed.
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

// checkAnchor holds that a chain ends in a signature, where signers are
// allowed: it vouches for all before it, and without it nothing does.
func (v *verifier) checkAnchor(head *link) {
	if v.signers != nil && head.Manifest.SignedBy == nil {
		v.add(Finding{
			Export: head.Manifest.Export, Snapshot: head.Name(), File: snapshot.ManifestFile,
			Problem: "is not signed, so no allowed signer vouches for the chain up to it",
		})
	}
}

// checkCertificates adds a note for each certificate of a private CA.
func (v *verifier) checkCertificates(head *link) {
	for _, tls := range head.Manifest.Org.TLS {
		if tls.PrivateCA {
			v.add(Finding{
				Export: head.Manifest.Export, Snapshot: head.Name(), File: snapshot.ManifestFile, Note: true,
				Problem: fmt.Sprintf("a private CA (%s) signed the certificate that answered %d of %d requests: an impostor could present one as well",
					tls.Issuer, tls.Requests, head.Manifest.Read.Requests),
			})
		}
	}
}

// checkHeads holds the chain of an export against heads that were noted
// elsewhere. Another digest under the same sequence is another history: the
// chain was made anew, or somebody went on from a copy.
func (v *verifier) checkHeads(c *chain) {
	known := make(map[int][]string) // two of one sequence where a break was adopted
	last := 0
	for _, snap := range c.links {
		sequence := snap.Manifest.Sequence
		known[sequence] = append(known[sequence], snap.Digest)
		last = max(last, sequence)
	}
	noted := make(map[int]string)
	for _, head := range v.heads {
		if head.Export != c.export {
			continue
		}
		problem := ""
		switch digests := known[head.Sequence]; {
		case noted[head.Sequence] != "" && noted[head.Sequence] != head.Digest:
			problem = fmt.Sprintf("two heads noted for sequence %d differ: there are two chains, forked at %d or before", head.Sequence, head.Sequence)
		case head.Sequence > last:
			problem = fmt.Sprintf("ends at sequence %d, and the head noted has %d: newer snapshots were cut off, or the store is an older copy", last, head.Sequence)
		case len(digests) == 0:
			problem = fmt.Sprintf("has no sequence %d to hold the head noted against", head.Sequence)
		case !slices.Contains(digests, head.Digest):
			problem = fmt.Sprintf("sequence %d has the manifest %s, and the head noted has %s: two chains, forked at %d or before",
				head.Sequence, strings.Join(digests, " and "), head.Digest, head.Sequence)
		}
		noted[head.Sequence] = head.Digest
		if problem != "" {
			v.add(Finding{Export: c.export, Problem: problem})
		}
	}
}
