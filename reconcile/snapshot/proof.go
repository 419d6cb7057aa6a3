package snapshot

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"oktasync/reconcile/snapshot/diff"
)

// notFound is the error code of Okta for a record that doesn't exist. A proxy's 404
// has none.
const notFound = "E0000007"

// Proof returns what q proves about a record: that it doesn't exist, or that it
// exists and has a status. ok is false unless q requests one record by its id, and
// Okta's response shows which it is.
func (q *Request) Proof() (id string, proof diff.Proof, ok bool) {
	i := strings.LastIndexByte(q.Path, '/')
	id, err := url.PathUnescape(q.Path[i+1:])
	if err != nil || strings.Contains(q.Path, "?") {
		return "", diff.Proof{}, false
	}
	proof = diff.Proof{RequestID: q.RequestID, HTTPStatus: q.Status, OktaStatus: q.OktaStatus}
	if q.Status == http.StatusNotFound && q.Error == notFound {
		proof.OktaStatus = notFound
		return id, proof, true
	}
	return id, proof, q.Status == http.StatusOK && q.Rows == 1
}

// Proofs returns the proofs of the removals that s records.
func (s *Snapshot) Proofs(r *Resource) (diff.Proofs, error) {
	proofs, err := readProofs(s.dir, r)
	if err != nil {
		return nil, fmt.Errorf("read requests of %s@%s: %w", s.Manifest.Export, s.Name(), err)
	}
	return proofs, nil
}

// Proofs returns the proofs of removals that the read contains.
func (q *QuarantinedRead) Proofs(r *Resource) (diff.Proofs, error) {
	proofs, err := readProofs(q.dir, r)
	if err != nil {
		return nil, fmt.Errorf("read requests of quarantined %s@%s: %w", q.Export, q.ReadName, err)
	}
	return proofs, nil
}

// readProofs reads the transcript in dir. It parses only requests without a query:
// all requests for lists have one.
func readProofs(dir string, r *Resource) (diff.Proofs, error) {
	f, err := OpenPlain(filepath.Join(dir, RequestsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	proofs := make(diff.Proofs)
	for lines := NewLineReader(f); ; {
		line, err := lines.Next()
		if err == io.EOF {
			return proofs, nil
		}
		if err != nil {
			return nil, err
		}
		if bytes.IndexByte(line, '?') >= 0 {
			continue
		}
		request, err := ParseRequest(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", lines.N, err)
		}
		if id, proof, ok := request.Proof(); ok && request.Resource == r.Name {
			proofs[id] = proof
		}
	}
}
