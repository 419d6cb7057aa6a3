package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// checkClientKey loads the key that signs client assertions.
func checkClientKey(_ context.Context, x *checker) Finding {
	file, setting := x.cfg.Okta.PrivateKeyFile, "okta.private_key_file"
	if x.Key != "" {
		file, setting = x.Key, "--key"
	}
	key, f := loadKey(file, setting)
	if key == nil {
		if x.Key != "" && f.Where == org.InConfig { // the configuration doesn't name this file
			f.Where = org.OnHost
		}
		return f
	}
	switch {
	case x.Key != "": // the app also has the old key, so Okta needs a kid
		key = key.WithID(cmp.Or(key.ID(), key.Thumbprint()))
	case x.cfg.Okta.PrivateKeyID != "":
		key = key.WithID(x.cfg.Okta.PrivateKeyID)
	}
	x.clientKey = key
	return f
}

// checkDPoPKey loads the key that tokens are bound to.
func checkDPoPKey(_ context.Context, x *checker) Finding {
	dpop := x.cfg.Okta.DPoP
	switch {
	case dpop.Mode == config.DPoPOff:
		return ok("none: okta.dpop.mode is off")
	case dpop.PrivateKeyFile == "":
		return ok("a new P-256 key in memory at every start")
	}
	key, f := loadKey(dpop.PrivateKeyFile, "okta.dpop.private_key_file")
	if key == nil {
		return f
	}
	if key.Thumbprint() == x.clientKey.Thumbprint() {
		return failed(org.InConfig, "set okta.dpop.private_key_file to another key, or remove it for a key in memory",
			"%s is the client key: one theft would reveal both keys", dpop.PrivateKeyFile)
	}
	if _, err := org.DPoPKey(x.cfg); err != nil { // compares the public key of the walk-through
		return failed(org.InConfig, "set both to one key pair, or remove "+config.EnvDPoPPublic, "%v", err)
	}
	x.dpopKey = key
	return f
}

// loadKey loads the key that a setting names, and describes its file. The key is
// nil if it can't be used.
func loadKey(file, setting string) (*keys.Key, Finding) {
	key, err := org.LoadKey(file)
	if err != nil {
		return nil, fileFinding(err, file, setting, 0o007, "set "+setting+" to a P-256 or RSA private key in PEM or JWK; `oktasync init --new-key FILE` creates one")
	}
	seen := fmt.Sprintf("%s: %s, thumbprint %s, %s", file, key.Algorithm(), key.Thumbprint(), config.Access(file))
	if key.Warning() != "" {
		return key, warning(org.OnHost, "chmod 600 "+term.ShellWord(file), "%s: the group has access to it", seen)
	}
	return key, ok("%s", seen)
}

// fileFinding describes why a file with a secret can't be used: it is missing, can't
// be read, or has a permission bit of forbidden. Otherwise, its content is wrong, and
// content is the remedy.
func fileFinding(err error, file, setting string, forbidden fs.FileMode, content string) Finding {
	info, statErr := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failed(org.InConfig, fmt.Sprintf("correct %s, or create the file", setting), "there is no %s", file)
	case errors.Is(err, fs.ErrPermission):
		return failed(org.OnHost, fmt.Sprintf("chown %s %s", config.CurrentUser(), term.ShellWord(file)), "%s can't read %s", config.CurrentUser(), file)
	case statErr == nil && info.Mode().IsRegular() && info.Mode().Perm()&forbidden != 0:
		return failed(org.OnHost, fmt.Sprintf("chmod 600 %s; if another user may have read the key, replace it", term.ShellWord(file)),
			"other users have access to %s (mode %04o)", file, info.Mode().Perm())
	}
	return failed(org.InConfig, content, "%v", err)
}

// checkSigningKey loads the key that signs snapshots.
func checkSigningKey(_ context.Context, x *checker) Finding {
	file := x.cfg.Store.SigningKeyFile
	if file == "" {
		if newest := x.newest(snapshot.Users); newest != nil && newest.Manifest.SignedBy != nil {
			return failed(org.InConfig, "set store.signing_key_file: an unsigned snapshot can't follow a signed one",
				"none, and snapshot %s is signed by %s", newest.Name(), *newest.Manifest.SignedBy)
		}
		return ok("none: snapshots are not signed")
	}
	signer, err := sign.Load(file)
	if err != nil {
		return fileFinding(err, file, "store.signing_key_file", 0o077,
			"set store.signing_key_file to an Ed25519 key without a passphrase; `oktasync init --signing-key` creates one")
	}
	x.signer = signer
	if within(file, x.cfg.Store.Path) {
		return failed(org.InConfig, "move the key out of the store, and change store.signing_key_file",
			"%s is in the store: a copy of the store would contain the key", file)
	}
	return ok("%s: %s, %s", file, signer.Fingerprint(), config.Access(file))
}

// checkAllowedSigners checks that verify accepts signatures of the signing key.
func checkAllowedSigners(_ context.Context, x *checker) Finding {
	file := x.cfg.Store.AllowedSignersFile
	if file == "" {
		return ok("none: verify reports signatures as \"not anchored\"")
	}
	signers, err := org.AllowedSigners(file)
	switch {
	case err != nil:
		return failed(org.InConfig, "set store.allowed_signers_file to a file in the format of ssh-keygen(1); `oktasync init --signing-key` prints a line for it", "%v", err)
	case within(file, x.cfg.Store.Path):
		return failed(org.InConfig, "move it out of the store, and change store.allowed_signers_file",
			"%s is in the store: every writer of the store could change it", file)
	case x.signer == nil:
		return ok("%s", file)
	}
	if err := signers.Allows(x.signer, time.Now()); err != nil {
		return failed(org.OnHost, fmt.Sprintf("ask the auditor to add a line to %s: %s", file, x.signer.AllowedSigner("WHO")),
			"verify would reject new snapshots: the signature %v", err)
	}
	return ok("%s accepts the signing key", file)
}

// within reports whether file is in the folder dir. It follows links.
func within(file, dir string) bool {
	real := func(path string) string {
		if path, err := filepath.EvalSymlinks(path); err == nil {
			if path, err := filepath.Abs(path); err == nil {
				return path
			}
		}
		return path
	}
	rel, err := filepath.Rel(real(dir), real(file))
	return err == nil && filepath.IsLocal(rel)
}
