package keys_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"oktasync/dpopauth/keys"
)

func TestD88_KeyFilesAreWiped(t *testing.T) {
	const folder = "OKTASYNC_TEST_KEYS"
	if dir := os.Getenv(folder); dir != "" {
		writeKeys(t, dir)
		return
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestD88_KeyFilesAreWiped$") // so that this process has not had the files in memory
	child.Env = append(os.Environ(), folder+"="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	debug.SetGCPercent(-1) // the collector would hide buffers that are not overwritten
	defer debug.SetGCPercent(100)
	var thumbprint string
	for _, name := range []string{"key.pem", "key.jwk", "set.jwks"} {
		key := must(keys.Load(filepath.Join(dir, name)))
		thumbprint = key.Thumbprint()
	}
	dump := must(os.Create(filepath.Join(t.TempDir(), "heap")))
	defer dump.Close()
	debug.WriteHeapDump(dump.Fd())
	heap := must(os.ReadFile(dump.Name()))
	if !bytes.Contains(heap, []byte(thumbprint)) {
		t.Fatal("the dump does not contain the heap")
	}
	for _, name := range []string{"pem", "jwk"} {
		secret := must(os.ReadFile(filepath.Join(dir, "secret."+name)))
		if n := bytes.Count(heap, secret); n > 0 {
			t.Errorf("the text of a %s file is still in memory, %d times", name, n)
		}
	}
}

// writeKeys writes a key in all formats, and for each format the part that must not
// be found.
func writeKeys(t *testing.T, dir string) {
	pem, jwk := pemBlock("PRIVATE KEY", pkcs8(p256())), jwkFile(p256(), "")
	line := strings.Split(string(pem), "\n")[1]
	var members struct{ D string }
	if err := json.Unmarshal(jwk, &members); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"key.pem": string(pem), "key.jwk": string(jwk), "set.jwks": `{"keys":[` + string(jwk) + `]}`,
		"secret.pem": line[len(line)-40:], "secret.jwk": members.D,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
