package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/oktaclient/sandbox"
)

// BenchmarkApply compares the CPU (user and system) and the peak memory of a
// second `apply` with their floor: the same requests from the same transport,
// the answers decompressed, cut into lines and written, and nothing decoded.
// Each runs in a process of its own, so that the org is not what is measured.
//
//	OKTASYNC_BENCH_USERS=1000000 OKTASYNC_BENCH_CONCURRENCY=1 go test -run ^$ -bench Apply -benchtime 1x ./cmd/oktasync
func BenchmarkApply(b *testing.B) {
	users, concurrency := benchSetting("USERS", 100_000), benchSetting("CONCURRENCY", 4)
	dir := b.TempDir()
	serveBench(b, dir, users, concurrency, "ndjson")
	_, first, _ := benchChild(b, dir, "apply") // the org's pages are compressed now, and there is a snapshot
	run := func(b *testing.B, what string) (cpu time.Duration, peak int) {
		b.Helper()
		mallocs := 0
		for b.Loop() {
			c, p, m := benchChild(b, dir, what)
			cpu, peak, mallocs = cpu+c, max(peak, p), m
		}
		cpu /= time.Duration(b.N)
		b.ReportMetric(cpu.Seconds()*1e6/float64(users), "ms-cpu/1000users")
		b.ReportMetric(float64(peak)/1024, "MiB-peak")
		b.ReportMetric(float64(mallocs)/float64(users), "allocs/user")
		b.ReportMetric(0, "ns/op")
		return cpu, peak
	}
	var floor time.Duration
	var floorPeak int
	b.Run("floor", func(b *testing.B) { floor, floorPeak = run(b, "floor") })
	b.Run("apply", func(b *testing.B) {
		cpu, peak := run(b, "apply")
		if floor > 0 { // it was not left out by -bench
			b.ReportMetric(cpu.Seconds()/floor.Seconds(), "floors-cpu")
			b.ReportMetric(float64(peak)/float64(floorPeak), "floors-peak")
			b.ReportMetric(float64(first)/1024, "MiB-peak-first")
		}
	})
	var http2 time.Duration
	b.Run("http2", func(b *testing.B) { http2, _ = run(b, "http2") })
	b.Run("http1", func(b *testing.B) {
		if cpu, _ := run(b, "http1"); http2 > 0 {
			b.ReportMetric(cpu.Seconds()/http2.Seconds(), "of-http2")
		}
	})
}

// benchProtocol is an apply over HTTP/2, or over HTTP/1.1 with a connection for
// each request in flight, whichever the program uses.
func benchProtocol(ctx context.Context, protocol string) error {
	a := &app{stdout: io.Discard, stderr: os.Stderr, getenv: os.LookupEnv}
	cfg, log, err := a.load()
	if err != nil {
		return err
	}
	base, _, err := org.Transport(cfg)
	if err != nil {
		return err
	}
	base.Protocols, base.MaxIdleConnsPerHost = new(http.Protocols), cfg.Okta.Concurrency
	base.Protocols.SetHTTP1(protocol == "http1")
	base.Protocols.SetHTTP2(protocol == "http2")
	key, err := org.ClientKey(cfg)
	if err != nil {
		return err
	}
	o, err := org.New(cfg, toolVersion(), log, base, key, nil)
	if err != nil {
		return err
	}
	if err := o.Join(cfg, log, nil); err != nil {
		return err
	}
	store, err := org.OpenStore(cfg, nil)
	if err != nil {
		return err
	}
	_, err = o.Reconciler(cfg, store, log, nil).Reconcile(ctx, cfg.Exports[0], org.Run(cfg, "apply"))
	return err
}

func benchSetting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("OKTASYNC_BENCH_" + name)); err == nil {
		return n
	}
	return otherwise
}

// serveBench serves an org of users and writes a configuration for it.
func serveBench(b *testing.B, dir string, users, concurrency int, formats string) *sandbox.Org {
	return serveBenchOrg(b, dir, sandbox.Config{Users: users}, concurrency, formats, "users: {attributes: {exclude: []}}")
}

// serveBenchOrg serves an org and writes a configuration for an export of these
// resources.
func serveBenchOrg(b *testing.B, dir string, cfg sandbox.Config, concurrency int, formats, resources string) *sandbox.Org {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	cfg.CachePages, cfg.RateLimit, cfg.ClientShare = true, sandbox.Limits(1<<20), 1
	cfg.Clients = []sandbox.ClientApp{{ID: "0oa1", RequireDPoP: true, Scopes: []string{"okta.users.read", "okta.groups.read", "okta.apps.read"},
		Keys: []sandbox.PublicKey{{Key: key.Public()}}}}
	org := sandbox.NewOrg(cfg)
	server, err := sandbox.NewServer(org, "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Close() })
	config := fmt.Sprintf(`okta: {org_url: %q, client_id: 0oa1, private_key_file: key.pem, ca_file: ca.pem, rate_limit_share: 1, concurrency: %d}
store: {path: snapshots}
exports:
  - {name: people, formats: [%s], %s}
`, server.URL, concurrency, formats, resources)
	for name, data := range map[string][]byte{
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "ca.pem": server.CAPEM(), "oktasync.yaml": []byte(config),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return org
}

// benchChild runs TestBenchChild in another process. It returns its CPU time, peak
// memory in KiB, and number of allocations.
func benchChild(b *testing.B, dir, what string) (cpu time.Duration, peak, mallocs int) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestBenchChild$")
	cmd.Env = append(os.Environ(), "OKTASYNC_BENCH_CHILD="+what, "OKTASYNC_CONFIG="+filepath.Join(dir, "oktasync.yaml"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", what, err, out)
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	peak, mallocs = int(used.Maxrss), 0
	for line := range strings.Lines(string(out)) {
		fmt.Sscanf(line, "peak %d", &peak) // without the memory of the parent at the fork
		fmt.Sscanf(line, "mallocs %d", &mallocs)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak, mallocs
}

// TestBenchChild is the process that BenchmarkApply and BenchmarkVerify measure.
func TestBenchChild(t *testing.T) {
	what := os.Getenv("OKTASYNC_BENCH_CHILD")
	if what == "" {
		t.Skip("for benchmarks only")
	}
	if path := os.Getenv("OKTASYNC_BENCH_PROFILE"); path != "" && what != "floor" {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			t.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	var err error
	switch what {
	case "floor":
		err = benchFloor()
	case "http1", "http2":
		err = benchProtocol(t.Context(), what)
	default:
		if status := run(t.Context(), strings.Fields(what), io.Discard, os.Stderr); status != 0 {
			t.Fatalf("status %d", status)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Println("mallocs", memory.Mallocs)
	status, _ := os.ReadFile("/proc/self/status")
	if _, rest, found := bytes.Cut(status, []byte("VmHWM:")); found {
		fmt.Println("peak " + strings.Fields(string(rest))[0])
	}
}

// benchFloor sends the requests of the newest snapshot's transcript and writes
// the users of the answers, a line each.
func benchFloor() error {
	a := &app{stdout: io.Discard, stderr: os.Stderr, getenv: os.LookupEnv}
	cfg, log, err := a.load()
	if err != nil {
		return err
	}
	o, err := org.Connect(cfg, toolVersion(), log)
	if err != nil {
		return err
	}
	transcript, err := os.ReadFile(filepath.Join(cfg.Store.Path, "people", "latest", "requests.ndjson"))
	if err != nil {
		return err
	}
	out, err := os.CreateTemp("", "floor")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	var page bytes.Buffer
	for line := range bytes.Lines(transcript) {
		var r struct{ Method, Path string }
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Method == http.MethodGet {
			if err := floorPage(o, cfg.Okta.OrgURL+r.Path, &page, w); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func floorPage(o *org.Org, url string, page *bytes.Buffer, w *bufio.Writer) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := o.Auth.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	page.Reset()
	if _, err := page.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d, %w", resp.StatusCode, err)
	}
	start, depth, quoted := 0, 0, false
	body := page.Bytes()
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{':
			if depth++; depth == 1 {
				start = i
			}
		case c == '}':
			if depth--; depth == 0 {
				w.Write(body[start : i+1])
				w.WriteByte('\n')
			}
		}
	}
	return nil
}
