package web

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a connection whose other end doesn't read.
type stuck struct {
	*httptest.ResponseRecorder
	until chan struct{}
}

func (s stuck) Write(p []byte) (int, error) {
	<-s.until
	return s.ResponseRecorder.Write(p)
}

// Handlers run one at a time, and a client that doesn't read delays no other.
func TestSerialize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		handler := newSerializer()(func(w http.ResponseWriter, _ *http.Request) {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte("staff: overdue"))
		})
		request := httptest.NewRequest(http.MethodGet, "/fresh", nil)
		slow := stuck{httptest.NewRecorder(), make(chan struct{})}
		go handler(slow, request)
		synctest.Wait()
		began := time.Now()
		for range 5 {
			go handler(httptest.NewRecorder(), request)
		}
		synctest.Wait()
		w := httptest.NewRecorder()
		handler(w, request)
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != "staff: overdue" {
			t.Errorf("response = %d %q", w.Code, w.Body)
		}
		if took := time.Since(began); took > 7*time.Second || most.Load() != 1 {
			t.Errorf("the last of seven waited %s, and %d ran at the same time", took, most.Load())
		}
		close(slow.until)
		synctest.Wait()
		if slow.Code != http.StatusServiceUnavailable {
			t.Errorf("the slow client received %d", slow.Code)
		}
	})
}
