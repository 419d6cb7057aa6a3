package oktaclient

import (
	"crypto/x509"
	"fmt"
)

// maxCertificates is the most certificates of an org during a read: enough for
// several servers, each of which changes its certificate.
const maxCertificates = 32

// Certificate is a certificate that an org presented during a read.
type Certificate struct {
	Chain    []*x509.Certificate // the leaf first
	Requests int                 // over connections with this certificate
}

// Certificates are the certificates that an org presented, in the order of their
// first response.
type Certificates []Certificate

// Add adds requests over connections with this chain. More than 32 different
// certificates are an error.
func (c *Certificates) Add(chain []*x509.Certificate, requests int) error {
	for i := range *c {
		if known := &(*c)[i]; known.Chain[0].Equal(chain[0]) {
			known.Requests += requests
			return nil
		}
	}
	if len(*c) == maxCertificates {
		return fmt.Errorf("the org answered with more than %d different certificates", maxCertificates)
	}
	*c = append(*c, Certificate{chain, requests})
	return nil
}
