package dpopauth_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"testing"

	"oktasync/dpopauth"
)

// net/http's HTTP/2 does not wait for the writer of a broken connection where
// the context has ended.
func TestHeadersAreNotChangedWhileWritten(t *testing.T) {
	o := newOrg(t)
	base := o.base()
	tr := o.transport(func(c *dpopauth.Config) {
		c.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost {
				return base.RoundTrip(req)
			}
			trace, sent := httptrace.ContextClientTrace(req.Context()), req.Header.Get("DPoP")
			var writing sync.WaitGroup
			trace.GotConn(httptrace.GotConnInfo{})
			writing.Go(func() { req.Header.Write(io.Discard) })
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			writing.Wait()
			if req.Header.Get("DPoP") != sent {
				t.Error("the proof changed while it might be read")
			}
			trace.WroteHeaders()
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			if again := req.Header.Get("DPoP"); again == "" || again == sent {
				t.Error("the proof is shown again")
			}
			return base.RoundTrip(req)
		})
	})
	mustGet(t, tr, o.URL+"/a")
}
