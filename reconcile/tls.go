package reconcile

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"oktasync/reconcile/snapshot"
)

// tlsFacts is what a manifest says of the certificate that the org showed, so
// that a look-alike is told apart from Okta; nil where the reading was over
// plain http. The chain was accepted by TLS already. What is found out here is
// whether the system's own certificate authorities vouch for it too, or only
// one that the configuration added.
func tlsFacts(peer []*x509.Certificate) *snapshot.TLS {
	if len(peer) == 0 {
		return nil
	}
	leaf := peer[0]
	intermediates := x509.NewCertPool()
	for _, c := range peer[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Intermediates: intermediates})
	sum := sha256.Sum256(leaf.Raw)
	return &snapshot.TLS{
		LeafSHA256: hex.EncodeToString(sum[:]),
		Issuer:     leaf.Issuer.String(),
		PrivateCA:  err != nil,
	}
}
