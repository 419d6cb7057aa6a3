package e2e

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// imports contains what a package may import besides the standard library: packages of
// this module by folder, and other modules by path. Its tests may also import the
// package itself, what tests lists, and what anyTest lists.
type imports struct {
	ours   []string
	others []string
	tests  []string
}

// mayImport contains the permitted imports of each package. Each new line needs a
// reason: the client and the verifier share no code, oktaclient doesn't import
// dpopauth, and scheduler doesn't import reconcile. cmd/oktasync connects them.
var mayImport = map[string]imports{
	"dpopauth": {
		ours:   []string{"dpopauth/keys"},
		others: []string{"github.com/go-json-experiment/json"}, // rejects duplicate members
		tests: []string{
			"github.com/go-jose/go-jose/v4", // an independent implementation
		},
	},
	"dpopauth/keys": {
		others: []string{"github.com/go-json-experiment/json"},
		tests:  []string{"github.com/go-jose/go-jose/v4"},
	},
	"dpopauth/verify": {
		others: []string{"github.com/go-jose/go-jose/v4"},
		tests: []string{
			"github.com/golang-jwt/jwt/v5", "github.com/go-json-experiment/json", // independent implementations
			"github.com/c2sp/wycheproof", // test vectors of known mistakes
		},
	},
	"oktaclient": {
		others: []string{"github.com/cenkalti/backoff/v5", "golang.org/x/sync", "github.com/go-json-experiment/json"},
	},
	"oktaclient/sandbox": {
		ours:  []string{"dpopauth/verify", "oktaclient/sandbox/internal/edges", "oktaclient/sandbox/internal/people", "oktaclient/sandbox/internal/ratelimit", "oktaclient/sandbox/internal/roles"},
		tests: []string{"github.com/go-json-experiment/json"},
	},
	"oktaclient/sandbox/internal/edges":     {},
	"oktaclient/sandbox/internal/people":    {},
	"oktaclient/sandbox/internal/ratelimit": {},
	"oktaclient/sandbox/internal/roles":     {},
	"reconcile/internal/recordtest": { // only for tests
		ours: []string{"reconcile/snapshot/canonjson", "reconcile/snapshot/diff"},
	},
	"reconcile/internal/storetest": { // only for tests
		ours: []string{
			"reconcile/internal/recordtest", "reconcile/snapshot", "reconcile/snapshot/canonjson", "reconcile/snapshot/diff",
			"reconcile/snapshot/sign", "reconcile/snapshot/verify",
		},
		others: []string{"golang.org/x/crypto"},
	},
	"reconcile/snapshot": {
		ours: []string{
			"reconcile/snapshot/canonjson", "reconcile/snapshot/diff", "reconcile/snapshot/edges", "reconcile/snapshot/render", "reconcile/snapshot/sign",
			"reconcile/snapshot/tempfile",
		},
		others: []string{
			"github.com/klauspost/compress", "github.com/go-json-experiment/json",
			"golang.org/x/sys",
			"golang.org/x/crypto", // the type of an SSH key
		},
		tests: []string{"reconcile/internal/recordtest", "reconcile/internal/storetest", "reconcile/snapshot/verify"},
	},
	"reconcile/snapshot/access": {
		ours:   []string{"reconcile/snapshot", "reconcile/snapshot/canonjson", "reconcile/snapshot/diff", "reconcile/snapshot/readahead"},
		others: []string{"github.com/go-json-experiment/json"}, // quotes a text as in records
		tests:  []string{"reconcile/internal/recordtest", "reconcile/internal/storetest"},
	},
	"reconcile/snapshot/canonjson": {
		others: []string{"github.com/go-json-experiment/json"},
		tests:  []string{"reconcile/internal/recordtest"},
	},
	"reconcile/snapshot/diff": {
		ours:   []string{"reconcile/snapshot/canonjson"},
		others: []string{"github.com/go-json-experiment/json"},
		tests:  []string{"reconcile/internal/recordtest", "reconcile/snapshot"},
	},
	"reconcile/snapshot/edges": {
		ours:   []string{"reconcile/snapshot/canonjson", "reconcile/snapshot/diff"},
		others: []string{"github.com/go-json-experiment/json"},
		tests:  []string{"reconcile/internal/recordtest"},
	},
	"reconcile/snapshot/render": {
		ours:   []string{"reconcile/snapshot/canonjson"},
		others: []string{"github.com/go-json-experiment/json"},
		tests:  []string{"reconcile/internal/recordtest", "reconcile/snapshot", "reconcile/snapshot/diff"},
	},
	"reconcile/snapshot/readahead": {},
	"reconcile/snapshot/sign": {
		others: []string{"github.com/hiddeco/sshsig", "golang.org/x/crypto"}, // SSH signatures and keys
		tests:  []string{"reconcile/internal/storetest", "reconcile/snapshot/verify"},
	},
	"reconcile/snapshot/tempfile": {
		others: []string{"golang.org/x/sys"}, // O_TMPFILE
	},
	"reconcile/snapshot/timestamp": {
		others: []string{
			"github.com/digitorus/timestamp", "github.com/sigstore/timestamp-authority/v2", // RFC 3161: to request, and to verify
			"golang.org/x/crypto", // cryptobyte: rejects what makes those slow
		},
	},
	"reconcile/snapshot/verify": {
		ours: []string{"reconcile/snapshot", "reconcile/snapshot/canonjson", "reconcile/snapshot/diff", "reconcile/snapshot/edges", "reconcile/snapshot/readahead", "reconcile/snapshot/render", "reconcile/snapshot/sign", "reconcile/snapshot/timestamp"},
		tests: []string{
			"reconcile/internal/recordtest", "reconcile/internal/storetest",
			"github.com/hiddeco/sshsig", "golang.org/x/crypto", "github.com/klauspost/compress", // to forge snapshots
		},
	},
	"reconcile": {
		ours:   []string{"oktaclient", "reconcile/snapshot", "reconcile/snapshot/canonjson", "reconcile/snapshot/diff"},
		others: []string{"golang.org/x/sync"}, // errgroup: chains of resources at the same time
		tests:  []string{"reconcile/internal/recordtest", "reconcile/internal/storetest", "reconcile/snapshot/verify"},
	},
	"scheduler": {
		others: []string{"github.com/robfig/cron/v3"},
	},
	"cmd/oktasync": {
		ours: []string{
			"dpopauth", "dpopauth/keys", "oktaclient", "oktaclient/sandbox", "reconcile", "scheduler",
			"reconcile/snapshot", "reconcile/snapshot/access", "reconcile/snapshot/canonjson", "reconcile/snapshot/diff", "reconcile/snapshot/render", "reconcile/snapshot/sign",
			"reconcile/snapshot/verify",
			internal + "config", internal + "daemon", internal + "doctor", internal + "document", internal + "listing", internal + "org", internal + "report", internal + "review", internal + "term",
		},
		others: []string{
			"github.com/lmittmann/tint", "github.com/spf13/cobra", "github.com/spf13/pflag", // cobra's flags
			"github.com/go-json-experiment/json", // quotes a text
		},
	},
	internal + "config": {
		ours: []string{"oktaclient", "reconcile", "reconcile/snapshot", "scheduler", internal + "term"},
		others: []string{
			"gopkg.in/yaml.v3",
			"golang.org/x/crypto", // bcrypt: the passwords of web_config_file
		},
	},
	internal + "daemon": {
		ours: []string{
			"oktaclient", "reconcile", "reconcile/snapshot", "reconcile/snapshot/verify", "scheduler",
			internal + "config", internal + "org", internal + "report", internal + "term", internal + "web",
		},
		others: []string{"github.com/coreos/go-systemd/v22"},
		tests:  []string{"dpopauth/keys"},
	},
	internal + "doctor": {
		ours: []string{
			"dpopauth", "dpopauth/keys", "oktaclient", "reconcile", "reconcile/snapshot", "reconcile/snapshot/diff", "reconcile/snapshot/sign",
			"scheduler", internal + "config", internal + "org", internal + "term",
		},
	},
	internal + "document": {
		ours:   []string{internal + "term"},
		others: []string{"github.com/xuri/excelize/v2"}, // XLSX
	},
	internal + "filter": {
		ours:  []string{"reconcile/snapshot/canonjson"},
		tests: []string{"github.com/scim2/filter-parser/v2"}, // an independent implementation
	},
	internal + "listing": {
		ours: []string{
			"reconcile/snapshot", "reconcile/snapshot/canonjson", "reconcile/snapshot/diff", "reconcile/snapshot/render",
			internal + "filter", internal + "term",
		},
	},
	internal + "org": {
		ours: []string{
			"dpopauth", "dpopauth/keys", "oktaclient", "reconcile", "reconcile/snapshot", "reconcile/snapshot/sign", "reconcile/snapshot/timestamp",
			internal + "config", internal + "term",
		},
		tests: []string{"reconcile/snapshot/canonjson", "reconcile/snapshot/verify"},
	},
	internal + "report": {
		ours: []string{
			"oktaclient", "reconcile/snapshot", "reconcile/snapshot/access", "reconcile/snapshot/canonjson", "reconcile/snapshot/diff",
			"reconcile/snapshot/sign", "reconcile/snapshot/timestamp", internal + "document", internal + "term",
		},
	},
	internal + "review": {
		ours: []string{
			"reconcile/snapshot", "reconcile/snapshot/access", "reconcile/snapshot/canonjson", "reconcile/snapshot/render", "reconcile/snapshot/tempfile",
			internal + "document",
		},
	},
	internal + "term": {
		others: []string{"golang.org/x/term"},
	},
	internal + "web": {
		ours: []string{internal + "term"},
		others: []string{
			"github.com/prometheus/client_golang",
			"golang.org/x/crypto", // bcrypt: the passwords of web_config_file
			"golang.org/x/time",   // rate: its rate_limit
		},
	},
	"e2e": {
		tests: []string{
			"oktaclient/sandbox", "reconcile/snapshot", "reconcile/snapshot/diff", "github.com/rogpeppe/go-internal",
			"reconcile/snapshot/sign",   // namespaces, to forge signatures
			"reconcile/snapshot/verify", // for the digests of problems that a forged line adopts
			"dpopauth", "dpopauth/keys", // for clients of other APIs than Okta's
			"golang.org/x/sys",                                 // for a pseudo-terminal
			"github.com/hiddeco/sshsig", "golang.org/x/crypto", // to forge signatures
			"reconcile/snapshot/verify", // to accept a finding in a forged line
		},
	},
}

// anyTest contains what the tests of every package may import. These packages share no
// code with the client.
var anyTest = []string{"dpopauth/verify", "oktaclient/sandbox"}

const (
	module   = "oktasync"
	internal = "cmd/oktasync/internal/"
)

// Each file imports only what mayImport permits, also files for other systems.
func TestPackagesImportOnlyWhatIsPermitted(t *testing.T) {
	seen := make(map[string]bool)
	eachGoFile(t, func(folder, path string) {
		seen[folder] = true
		check(t, checkImports(t, folder, path))
	})
	for folder := range mayImport {
		if !seen[folder] {
			t.Errorf("mayImport has the package %s, which doesn't exist", folder)
		}
	}
}

// eachGoFile calls visit for each Go file of the module. folder is the package of path.
func eachGoFile(t *testing.T, visit func(folder, path string)) {
	t.Helper()
	check(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || name == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		folder, err := filepath.Rel("..", filepath.Dir(path))
		if err != nil {
			return err
		}
		folder = filepath.ToSlash(folder)
		visit(folder, path)
		return nil
	}))
}

func checkImports(t *testing.T, folder, path string) error {
	t.Helper()
	allowed, ok := mayImport[folder]
	if !ok {
		t.Errorf("%s: mayImport has no package %s", path, folder)
		return nil
	}
	may := slices.Concat(allowed.ours, allowed.others)
	if strings.HasSuffix(path, "_test.go") {
		may = slices.Concat(may, allowed.tests, anyTest, []string{folder})
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if !isStandard(imported) && !slices.ContainsFunc(may, covers(imported)) {
			t.Errorf("%s imports %s, which mayImport doesn't permit", path, imported)
		}
	}
	return nil
}

func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != module && !strings.Contains(first, ".")
}

// covers reports whether an entry permits imported. A package of this module permits
// only itself, and another module permits all of its packages.
func covers(imported string) func(entry string) bool {
	return func(entry string) bool {
		if strings.Contains(entry, ".") {
			return imported == entry || strings.HasPrefix(imported, entry+"/")
		}
		return imported == module+"/"+entry
	}
}
