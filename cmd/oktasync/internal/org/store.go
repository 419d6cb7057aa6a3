package org

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"syscall"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
	"oktasync/reconcile/snapshot/timestamp"
)

// OpenStore opens the store of cfg for writing, and creates it if it does not
// exist. witness may be nil.
func OpenStore(cfg *config.Config, witness *snapshot.Witness) (*snapshot.Store, error) {
	options, err := StoreOptions(cfg)
	if err != nil {
		return nil, err
	}
	options.Witness = witness
	store, err := snapshot.Init(cfg.Store.Path, snapshot.Org{URL: cfg.Okta.OrgURL}, options)
	if errors.Is(err, syscall.ENOTDIR) {
		err = config.WithHint(err, "store.path must be a folder, or a path where one can be created")
	}
	return store, err
}

// StoreOptions looks up the group of the store, and loads its signing key and the
// signers that are accepted.
func StoreOptions(cfg *config.Config) (options snapshot.Options, err error) {
	options, err = GroupOptions(cfg)
	if file := cfg.Store.SigningKeyFile; file != "" {
		var load error
		if options.Signer, load = sign.Load(file); load != nil {
			err = errors.Join(err, cfg.Problem("store.signing_key_file", config.WrapFileError(file, load)))
		}
	}
	var load error
	if options.Allowed, load = AllowedSigners(cfg.Store.AllowedSignersFile); load != nil {
		err = errors.Join(err, cfg.Problem("store.allowed_signers_file", load))
	}
	if url := cfg.Store.TimestampURL; url != "" {
		options.Stamper = func(ctx context.Context, message []byte) ([]byte, error) {
			return timestamp.Request(ctx, nil, url, message)
		}
	}
	if _, load := Authorities(cfg); load != nil {
		err = errors.Join(err, load)
	}
	return options, err
}

// Authorities returns the certificates in store.timestamp_ca_file, or nil if it is not
// set.
func Authorities(cfg *config.Config) ([]*x509.Certificate, error) {
	file := cfg.Store.TimestampCAFile
	if file == "" {
		return nil, nil
	}
	list, err := Certificates(file)
	if err != nil {
		return nil, cfg.Problem("store.timestamp_ca_file", err)
	}
	return list, nil
}

// Certificates returns the certificates in a PEM file. A file without one is an error.
func Certificates(file string) ([]*x509.Certificate, error) {
	data, err := config.ReadFile(file, config.MaxFile)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s contains an invalid certificate", file)
		}
		list = append(list, certificate)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return list, nil
}

// GroupOptions is StoreOptions without the signing key.
func GroupOptions(cfg *config.Config) (options snapshot.Options, err error) {
	name := cfg.Store.Group
	if name == "" {
		return options, nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return options, cfg.Problem("store.group", fmt.Errorf("no group %s on this machine", term.Word(name)))
	}
	if options.GID, err = strconv.Atoi(group.Gid); err != nil {
		return options, cfg.Problem("store.group", err)
	}
	return options, nil
}

// AllowedSigners loads an allowed_signers file. It returns nil if file is "".
func AllowedSigners(file string) (*sign.AllowedSigners, error) {
	if file == "" {
		return nil, nil
	}
	data, err := config.ReadArgument(file, sign.MaxAllowedSigners)
	if err != nil {
		return nil, fmt.Errorf("load allowed signers: %w", err)
	}
	signers, err := sign.ParseAllowedSigners(data)
	if err != nil {
		return nil, fmt.Errorf("load allowed signers %s: %w", file, err)
	}
	return signers, nil
}

// OpenExisting opens the store of cfg for reading. It returns nil if the store
// does not exist.
func OpenExisting(cfg *config.Config) (*snapshot.Store, error) {
	store, err := snapshot.Open(cfg.Store.Path)
	if errors.Is(err, snapshot.ErrNoStore) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if store.Org().URL != cfg.Okta.OrgURL {
		return nil, &snapshot.OrgError{Dir: cfg.Store.Path, Store: store.Org(), Want: snapshot.Org{URL: cfg.Okta.OrgURL}}
	}
	return store, nil
}
