package reconcile

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"oktasync/reconcile/snapshot"
)

// tlsOf describes the certificate of the org for the manifest. It returns nil for
// plain http. TLS already accepted the chain. tlsOf reports whether the system's
// certificate authorities accept it too, or only one that the configuration adds.
func tlsOf(peer []*x509.Certificate) *snapshot.TLS {
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
