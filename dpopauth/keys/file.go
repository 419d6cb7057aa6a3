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
	"syscall"
)

const maxKeyFile = 64 << 10

// Load loads a private key from a file, as [Parse] does. It rejects a file that
// all users can access. A key from a file that the group can access has a
// [Key.Warning]. Load follows symbolic links, and checks the file that it opened.
// The error names the file and its kind of content, but contains no part of it.
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
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxKeyFile:
		return nil, fmt.Errorf("%d bytes are too large for a key", info.Size())
	case perm&0o007 != 0:
		return nil, fmt.Errorf("other users have access to it (mode %04o): run `chmod 600 %s`", perm, path)
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

// isCredential reports whether systemd provides the file (LoadCredential=). Its
// group bits then represent an access list for the service's user.
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	rel, err := filepath.Rel(dir, path)
	return dir != "" && err == nil && filepath.IsLocal(rel)
}

// WriteFile writes the private key to a new file as PKCS#8 PEM with mode 0600,
// and syncs it and its folder. It returns an error if the file exists, or if the signer of [New]
// is not a private key. It removes a partly written file.
func (k *Key) WriteFile(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.m.signer())
	if err != nil {
		return fmt.Errorf("write key %s: the signer does not export its private key", path)
	}
	defer clear(der)
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(data)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write key %s: %w", path, withoutPath(err))
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close(), syncFolder(filepath.Dir(path))); err != nil {
		_ = os.Remove(path) // so that a second call can succeed
		return fmt.Errorf("write key %s: %w", path, withoutPath(err))
	}
	return nil
}

// syncFolder makes a new file in a folder survive a power failure.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// withoutPath removes the path, which the caller's error contains.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
