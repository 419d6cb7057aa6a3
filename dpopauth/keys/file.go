package keys

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

const maxKeyFile = 64 << 10

// Load reads a private key from a file, as [Parse] does. A file that everyone
// may read is refused; one that its group may read loads with a [Key.Warning].
// Symbolic links are followed, and what is checked is what is read. The error
// names the file and what was found in it, but no byte of it.
func Load(path string) (*Key, error) {
	k, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", path, err)
	}
	return k, nil
}

func load(path string) (*Key, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO would block
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	perm := info.Mode().Perm()
	if runtime.GOOS == "windows" {
		perm = 0 // means nothing there
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Size() > maxKeyFile:
		return nil, fmt.Errorf("it has %d bytes, which no key has", info.Size())
	case perm&0o007 != 0:
		return nil, fmt.Errorf("everyone has access to it (mode %04o): run `chmod 600 %s`", perm, path)
	}
	data := make([]byte, maxKeyFile)
	defer clear(data)
	n, err := io.ReadFull(f, data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, withoutPath(err)
	}
	k, err := parseKey(data[:n])
	if err != nil {
		return nil, err
	}
	if perm&0o070 != 0 && !isCredential(path) {
		k.m.warning = fmt.Sprintf("the group has access to key file %s (mode %04o)", path, perm)
	}
	return k, nil
}

// isCredential reports whether systemd passed the file (LoadCredential=): the
// group's bits then show an access list for the service's user alone.
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	rel, err := filepath.Rel(dir, path)
	return dir != "" && err == nil && filepath.IsLocal(rel)
}

// WriteFile writes the private key to a new file as PKCS#8 PEM, mode 0600, and
// syncs it. A file that is there already is left alone, and is an error; one that
// can't be written whole is removed. A key whose signer lives elsewhere can't be
// written.
func (k *Key) WriteFile(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.m.signer())
	if err != nil {
		return fmt.Errorf("write key %s: its signer does not give it away", path)
	}
	defer clear(der)
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(data)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write key %s: %w", path, withoutPath(err))
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path) // of no use, and in the way of another try
		return fmt.Errorf("write key %s: %w", path, withoutPath(err))
	}
	return nil
}

// withoutPath strips the path, which the caller's text has.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
