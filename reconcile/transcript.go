package reconcile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// maxTranscript is the most bytes of a transcript. A request has about 200.
const maxTranscript = 1 << 30

// transcript keeps the requests of a read in an unnamed temporary file, because
// their paths can be long.
type transcript struct {
	began time.Time

	mu       sync.Mutex // guards the fields below while the plan is read
	requests int
	bytes    int
	file     *os.File // nil: no request yet
	buffer   *bufio.Writer
	tokens   map[oktaclient.Request]bool // requests for tokens, which each read that uses the token passes
}

// timedRequest is a request in the file. Elapsed replaces its time, so that a change
// of the local clock during the read has no effect.
type timedRequest struct {
	oktaclient.Request
	Elapsed time.Duration // since the transcript began
}

// add adds a request. Several reads may add requests at the same time.
func (t *transcript) add(r oktaclient.Request, temp func() (*os.File, error)) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Method == http.MethodPost {
		if t.tokens[r] {
			return nil
		}
		if t.tokens == nil {
			t.tokens = make(map[oktaclient.Request]bool)
		}
		t.tokens[r] = true
	}
	if t.file == nil {
		if t.file, err = temp(); err != nil {
			return fmt.Errorf("create temporary file: %w", err)
		}
		t.buffer = bufio.NewWriter(t.file)
	}
	line, err := json.Marshal(timedRequest{Request: r, Elapsed: r.Time.Sub(t.began)})
	if err != nil {
		return err
	}
	t.requests++
	if t.bytes += len(line); t.bytes > maxTranscript {
		return fmt.Errorf("the transcript is over %d bytes, after %d requests", maxTranscript, t.requests)
	}
	_, err = t.buffer.Write(line)
	return err
}

// lines returns the lines of requests.ndjson. oktaTime converts local times.
func (t *transcript) lines(oktaTime func(time.Time) time.Time) (io.Reader, error) {
	if t.file == nil {
		return nil, errors.New("a read without requests")
	}
	if err := t.buffer.Flush(); err != nil {
		return nil, err
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return &lineReader{requests: json.NewDecoder(t.file), began: t.began, oktaTime: oktaTime}, nil
}

func (t *transcript) close() error {
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}

// lineReader reads a transcript as lines of requests.ndjson.
type lineReader struct {
	requests *json.Decoder
	began    time.Time
	oktaTime func(time.Time) time.Time
	line     []byte
	rest     []byte // of line
}

func (l *lineReader) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		var r timedRequest
		if err := l.requests.Decode(&r); err != nil {
			return 0, err
		}
		request := requestOf(r.Request)
		request.Time = snapshot.At(l.oktaTime(l.began.Add(r.Elapsed)))
		var err error
		if l.line, err = request.Line(l.line[:0]); err != nil {
			return 0, err
		}
		l.rest = l.line
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// requestOf returns r as a line of the transcript without its time.
func requestOf(r oktaclient.Request) snapshot.Request {
	return snapshot.Request{
		Resource: r.Resource, Method: r.Method, Path: r.Path, Status: r.Status, Rows: r.Rows,
		RequestID: r.RequestID, Error: r.Error, OktaStatus: r.RecordStatus,
	}
}
