package org

import (
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/oktaclient"
)

// tally is a sink that counts users.
type tally struct{ users int }

func (s *tally) Record(oktaclient.Record) error { s.users++; return nil }
func (*tally) Outside(oktaclient.Record) error  { return nil }
func (*tally) Request(oktaclient.Request) error { return nil }

// Pages are compressed and use one connection. The size of a header is limited.
func TestTransport(t *testing.T) {
	var connections, large atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("%s, Accept-Encoding %q", r.Proto, r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("X-Okta-Request-Id", "aZ3k")
		w.Header().Set("X-Large", strings.Repeat("x", int(large.Load())))
		var page int
		fmt.Sscan(r.URL.Query().Get("after"), &page)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Link", `</api/v1/users>; rel="self"`)
		if page < 20 && !r.URL.Query().Has("filter") {
			w.Header().Set("Link", fmt.Sprintf(`<https://%s/api/v1/users?limit=200&after=%d>; rel="next"`, r.Host, page+1))
		}
		z := gzip.NewWriter(w)
		fmt.Fprintf(z, `[{"id":"00u%d","status":"ACTIVE","lastUpdated":"1999-01-01T00:00:00.000Z"}]`, page)
		z.Close()
	}))
	server.EnableHTTP2, server.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	base, _, err := Transport(&config.Config{Okta: config.OktaConfig{CAFile: ca}})
	if err != nil {
		t.Fatal(err)
	}
	defer base.CloseIdleConnections()
	c, err := oktaclient.New(oktaclient.Config{OrgURL: server.URL, HTTPClient: &http.Client{Transport: base}, BaseWait: 1})
	if err != nil {
		t.Fatal(err)
	}
	var users tally
	if _, err := c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.Users}, &users); err != nil || users.users < 21 {
		t.Fatalf("read %d users: %v", users.users, err)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 22 requests, want 1", n)
	}
	large.Store(maxHeader / 2)
	if _, err := c.Get(t.Context(), "/api/v1/users", nil); err == nil || err.Error() != "okta: header of over 262144 bytes (request aZ3k)" {
		t.Errorf("header of %d bytes: %v", large.Load(), err)
	}
	large.Store(2 * maxHeader)
	if _, err := c.Get(t.Context(), "/api/v1/users", nil); err == nil ||
		err.Error() != "okta: no readable header and no request id from /api/v1/users, tried 5 times" {
		t.Errorf("header of %d bytes: %v", large.Load(), err)
	}
}
