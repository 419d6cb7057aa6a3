package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// digest returns the SHA-256 of a finding and of the content that it is about. A line
// adopted of the journal accepts findings by these digests, so the finding is a problem
// again after that content has changed.
func (v *verifier) digest(f Finding) (string, error) {
	content, err := v.content(f)
	if err != nil {
		return "", err
	}
	data, err := canonjson.Marshal(struct {
		Finding
		Content string `json:"content"`
	}{f, content})
	return snapshot.DigestOf(data), err
}

// content returns a digest of the content that a finding is about. A finding about an
// export as a whole has none. A finding about a line of the journal has none either,
// because a line adopted has the digest of all lines before it.
func (v *verifier) content(f Finding) (string, error) {
	switch {
	case f.about != "":
		return v.contentOf(f.about, 0)
	case f.Snapshot == "" && (f.File == "" || f.File == snapshot.JournalFile):
		return "", nil
	}
	return v.contentOf(v.store.Path(f.Export, f.Snapshot, f.File), 0)
}

// maxDepth bounds how deep folders are nested in a folder whose content is accepted.
const maxDepth = 32

// contentOf returns what is at a path: the digest of a file, of the names and contents
// in a folder, or of the target of a link. depth counts the folders above it.
func (v *verifier) contentOf(path string, depth int) (string, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "missing", nil
	case err != nil:
		return "", err
	case info.Mode().IsRegular():
		digest, err := v.fileDigest(path, info)
		return "file " + digest, err
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(path)
		return "link " + snapshot.DigestOf([]byte(target)), err
	case !info.IsDir():
		return info.Mode().Type().String(), nil
	case depth == maxDepth:
		return "", fmt.Errorf("%s: folders are nested more than %d deep", path, maxDepth)
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return "", err
	}
	names := snapshot.NewDigest()
	for _, entry := range entries {
		content, err := v.contentOf(filepath.Join(path, entry.Name()), depth+1)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(names, "%q %s\n", entry.Name(), content)
	}
	return "folder " + names.String(), nil
}

// fileDigest returns the digest of a file. It reads a file with several names once, so
// that the space on disk bounds the time.
func (v *verifier) fileDigest(path string, info fs.FileInfo) (string, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Nlink < 2 {
		return snapshot.DigestOfFile(path)
	}
	id := [2]uint64{uint64(stat.Dev), stat.Ino}
	digest, known := v.linked[id]
	if known {
		return digest, nil
	}
	digest, err := snapshot.DigestOfFile(path)
	if v.linked == nil {
		v.linked = make(map[[2]uint64]string)
	}
	v.linked[id] = digest
	return digest, err
}

// add reports a finding. A finding that was adopted is a note.
func (v *verifier) add(f Finding) {
	if !f.Note && f.Export != "" && (v.adopts != nil || len(v.accepted) > 0) {
		f.digest, _ = v.digest(f) // what can't be read isn't accepted
	}
	if e, ok := v.accepted[f.digest]; ok && f.digest != "" {
		f.Note = true
		f.Problem += fmt.Sprintf("; adopted by %s: %s", e.User, e.Reason)
	}
	if f.Note {
		v.sum.Notes++
	} else {
		v.sum.Problems++
	}
	v.report(f)
}

// adoptions returns the covered lines adopted, by the digests of the findings that
// they accept. None counts unless the checkpoint that covers it is correct: otherwise
// anybody could have written the line.
func (c *chain) adoptions() map[string]snapshot.Event {
	accepted := make(map[string]snapshot.Event)
	if c.wrongCheckpoint {
		return accepted
	}
	for _, e := range c.ledger.Events() {
		for _, digest := range e.Accepted {
			accepted[digest] = e
		}
	}
	return accepted
}
