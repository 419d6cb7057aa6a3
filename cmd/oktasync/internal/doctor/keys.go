package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
)

// checkClientKey loads the key that signs client assertions.
func checkClientKey(_ context.Context, x *checker) Finding {
	file, setting := x.cfg.Okta.PrivateKeyFile, "okta.private_key_file"
	if x.Key != "" {
		file, setting = x.Key, "--key"
	}
	key, f := loadKeyFor(file, setting)
	if key == nil {
		if x.Key != "" && f.Where == inConfig { // which says nothing of it yet
			f.Where = onHost
		}
		return f
	}
	switch {
	case x.Key != "": // the app has the old key too, so that the kid has to say which
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
	key, f := loadKeyFor(dpop.PrivateKeyFile, "okta.dpop.private_key_file")
	if key == nil {
		return f
	}
	if key.Thumbprint() == x.clientKey.Thumbprint() {
		return failed(inConfig, "set okta.dpop.private_key_file to another key, or leave it out for one in memory",
			"%s is the client key: whoever steals one has both", dpop.PrivateKeyFile)
	}
	if _, err := org.DPoPKey(x.cfg); err != nil { // its public half, which the walk-through's file names
		return failed(inConfig, "name the two halves of one key, or leave "+config.EnvDPoPPublic+" out", "%v", err)
	}
	x.dpopKey = key
	return f
}

// loadKeyFor loads the key that a setting names, and says how its file is. The
// key is nil where it can't be used.
func loadKeyFor(file, setting string) (*keys.Key, Finding) {
	key, err := org.LoadKey(file)
	if err != nil {
		return nil, fileFinding(err, file, setting, 0o007, "set "+setting+" to a P-256 or RSA private key, PEM or JWK; `oktasync init` makes one")
	}
	seen := fmt.Sprintf("%s: %s, thumbprint %s, %s", file, key.Algorithm(), key.Thumbprint(), config.Access(file))
	if key.Warning() != "" {
		return key, warning(onHost, "chmod 600 "+term.ShellWord(file), "%s: the group has access to it", seen)
	}
	return key, ok("%s", seen)
}

// fileFinding says why a file with a secret can't be used: it is not there, or has a
// bit of shut in its mode, or else content says what to do about what is in it.
func fileFinding(err error, file, setting string, shut fs.FileMode, content string) Finding {
	info, statErr := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failed(inConfig, fmt.Sprintf("correct %s, or put the file there", setting), "there is no %s", file)
	case errors.Is(err, fs.ErrPermission):
		return failed(onHost, fmt.Sprintf("give the file to the user that runs oktasync: chown %s %s", config.CurrentUser(), term.ShellWord(file)), "%s may not be read by %s", file, config.CurrentUser())
	case statErr == nil && info.Mode().IsRegular() && info.Mode().Perm()&shut != 0:
		return failed(onHost, fmt.Sprintf("chmod 600 %s, and make a new key where somebody may have read this one", term.ShellWord(file)),
			"others have access to %s (mode %04o)", file, info.Mode().Perm())
	}
	return failed(inConfig, content, "%v", err)
}
