package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// printHeads prints the end of each chain, a line that --head takes for each.
func (a *app) printHeads(r *reader, exports []string, asJSON bool) error {
	heads := []snapshot.Head{}
	for _, export := range exports {
		newest, err := r.Latest(export)
		if errors.Is(err, snapshot.ErrNoSnapshot) {
			continue
		}
		if err != nil {
			return err
		}
		heads = append(heads, snapshot.Head{
			Export: export, Sequence: newest.Manifest.Sequence, Snapshot: newest.Name(), Digest: newest.Digest,
		})
	}
	if asJSON {
		return writeJSON(a.stdout, heads)
	}
	for _, h := range heads {
		fmt.Fprintf(a.stdout, "%s=%d:%s\n", h.Export, h.Sequence, h.Digest)
	}
	return nil
}

var headDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parseHeads reads what --head was given: SEQ:DIGEST where one export is
// looked at, EXPORT=SEQ:DIGEST elsewhere.
func parseHeads(texts, exports []string) ([]snapshot.Head, error) {
	var heads []snapshot.Head
	for _, text := range texts {
		export, rest, named := strings.Cut(text, "=")
		if !named {
			if len(exports) != 1 {
				return nil, fmt.Errorf("--head %s: say which export's it is, as EXPORT=SEQUENCE:DIGEST", term.Word(text))
			}
			export, rest = exports[0], text
		}
		number, digest, _ := strings.Cut(rest, ":")
		sequence, err := strconv.Atoi(number)
		digest = strings.ToLower(digest)
		if err != nil || sequence < 1 || !headDigest.MatchString(digest) {
			return nil, fmt.Errorf("--head %s: must be SEQUENCE:DIGEST, as `oktasync status --heads` prints it", term.Word(text))
		}
		heads = append(heads, snapshot.Head{Export: export, Sequence: sequence, Digest: digest})
	}
	return heads, nil
}
