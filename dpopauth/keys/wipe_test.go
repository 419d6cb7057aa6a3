package keys_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"oktasync/dpopauth/keys"
)

func TestD88_KeyFilesAreWiped(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed") // the file must not have been in our memory before
	}
	debug.SetGCPercent(-1) // or the collector would hide what was not wiped
	defer debug.SetGCPercent(100)
	path := filepath.Join(t.TempDir(), "key.pem")
	if out, err := exec.Command(openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := keys.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dump, err := os.Create(filepath.Join(t.TempDir(), "heap"))
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	debug.WriteHeapDump(dump.Fd())
	heap, err := os.ReadFile(dump.Name())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(heap, []byte(key.Thumbprint())) {
		t.Fatal("the dump is no dump of our heap")
	}
	line := strings.Split(string(file), "\n")[1]
	if bytes.Contains(heap, []byte(line[len(line)-40:])) {
		t.Error("the file's text is still in memory")
	}
}
