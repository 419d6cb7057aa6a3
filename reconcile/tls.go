package reconcile

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// maxIssuer is the most bytes of an issuer's name in the manifest.
const maxIssuer = 256

// tlsOf describes the certificates of the org for the manifest. TLS already
// accepted the chains. tlsOf reports whether the system's certificate authorities
// accept them too, or only one that the configuration adds.
func tlsOf(certificates oktaclient.Certificates) (all []snapshot.TLS) {
	for _, c := range certificates {
		leaf, intermediates := c.Chain[0], x509.NewCertPool()
		for _, other := range c.Chain[1:] {
			intermediates.AddCert(other)
		}
		_, err := leaf.Verify(x509.VerifyOptions{Intermediates: intermediates})
		sum, issuer := sha256.Sum256(leaf.Raw), leaf.Issuer.String()
		all = append(all, snapshot.TLS{
			LeafSHA256: hex.EncodeToString(sum[:]),
			Issuer:     strings.ToValidUTF8(issuer[:min(len(issuer), maxIssuer)], ""),
			PrivateCA:  err != nil,
			Requests:   c.Requests,
		})
	}
	return all
}
