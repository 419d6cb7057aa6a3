package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium with one page. It receives DevTools commands
// over a pipe; a message is JSON and a zero byte.
type browser struct {
	t       testing.TB
	cmd     *exec.Cmd
	in      io.Writer
	session string // of the page

	mu       sync.Mutex
	last     int
	waiting  map[int]chan reply
	console  []string // of the page
	requests []string // URLs that the page requested
	loads    chan struct{}
}

type reply struct {
	ID        int
	Method    string
	SessionID string `json:"sessionId"`
	Params    json.RawMessage
	Result    json.RawMessage
	Error     *struct{ Message string }
}

// patience is the longest wait for a condition, on a slow machine.
const patience = 2 * time.Minute

func newBrowser(t testing.TB) *browser {
	t.Helper()
	needs(t, "chromium")
	profile := t.TempDir()
	b := &browser{t: t, waiting: make(map[int]chan reply), loads: make(chan struct{}, 100)}
	browserIn, in, err := os.Pipe()
	check(t, err)
	out, browserOut, err := os.Pipe()
	check(t, err)
	b.in = in
	b.cmd = exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	b.cmd.ExtraFiles = []*os.File{browserIn, browserOut} // its descriptors 3 and 4
	var stderr bytes.Buffer
	b.cmd.Stderr = &stderr
	check(t, b.cmd.Start())
	browserIn.Close()
	browserOut.Close()
	read := make(chan struct{})
	go func() { defer close(read); b.read(out) }()
	t.Cleanup(func() {
		b.send("", "Browser.close", nil, nil) // it removes open files from its profile
		kill := time.AfterFunc(patience, func() { b.cmd.Process.Kill() })
		b.cmd.Wait()
		kill.Stop()
		in.Close()
		<-read
		if t.Failed() {
			t.Logf("the last output of chromium:\n%s", stderr.Bytes()[max(0, stderr.Len()-1000):])
		}
	})
	var target struct{ TargetID string }
	b.must("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.must("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.must(b.session, domain+".enable", nil, nil)
	}
	return b
}

func (b *browser) read(r io.ReadCloser) {
	defer r.Close()
	for messages := bufio.NewReader(r); ; {
		message, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m reply
		if json.Unmarshal(message[:len(message)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if waiter := b.waiting[m.ID]; waiter != nil && m.ID > 0 {
			waiter <- m
			delete(b.waiting, m.ID)
		} else {
			b.note(m)
		}
		b.mu.Unlock()
	}
}

// note records an event of the page. It is called with the lock held.
func (b *browser) note(m reply) {
	var p struct {
		Request struct{ URL string }
		Entry   json.RawMessage
	}
	switch m.Method {
	case "Page.loadEventFired":
		b.loads <- struct{}{}
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
		b.console = append(b.console, string(m.Params))
	case "Network.requestWillBeSent":
		if json.Unmarshal(m.Params, &p) == nil {
			b.requests = append(b.requests, p.Request.URL)
		}
	}
}

// send sends a command and decodes its result.
func (b *browser) send(session, method string, params, result any) error {
	response := make(chan reply, 1)
	b.mu.Lock()
	b.last++
	message := map[string]any{"id": b.last, "method": method}
	b.waiting[b.last] = response
	b.mu.Unlock()
	if session != "" {
		message["sessionId"] = session
	}
	if params != nil {
		message["params"] = params
	}
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(data, 0)); err != nil {
		return err
	}
	select {
	case m := <-response:
		if m.Error != nil {
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-time.After(patience):
		return fmt.Errorf("%s: no response", method)
	}
}

func (b *browser) must(session, method string, params, result any) {
	b.t.Helper()
	check(b.t, b.send(session, method, params, result))
}

// open opens a page and waits until it is loaded.
func (b *browser) open(url string) {
	b.t.Helper()
	for len(b.loads) > 0 {
		<-b.loads
	}
	var result struct{ ErrorText string }
	b.must(b.session, "Page.navigate", map[string]any{"url": url}, &result)
	if result.ErrorText != "" {
		b.t.Fatalf("open %s: %s", url, result.ErrorText)
	}
	select {
	case <-b.loads:
	case <-time.After(patience):
		b.t.Fatalf("%s wasn't loaded in time", url)
	}
}

// screen sets the size of the window and the preferred color scheme.
func (b *browser) screen(width, height int, scheme string) {
	b.t.Helper()
	b.must(b.session, "Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.must(b.session, "Emulation.setEmulatedMedia",
		map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// eval runs a script in the page and decodes what it returns.
func (b *browser) eval(script string, result any) {
	b.t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.must(b.session, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &got)
	if len(got.ExceptionDetails) > 0 {
		b.t.Fatalf("script: %s", got.ExceptionDetails)
	}
	if err := json.Unmarshal(got.Result.Value, result); err != nil {
		b.t.Fatalf("script returned %s: %v", got.Result.Value, err)
	}
}

// text returns the visible text of the page, with single spaces.
func (b *browser) text() string {
	b.t.Helper()
	var text string
	b.eval(`document.body.innerText`, &text)
	return strings.Join(strings.Fields(text), " ")
}

// shows opens the page repeatedly until it shows text.
func (b *browser) shows(url, text string) {
	b.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		b.open(url)
		shown := b.text()
		if strings.Contains(shown, text) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("the page doesn't show %q in time:\n%s", text, shown)
		}
	}
}

// picture saves a screenshot of the whole page in the folder OKTASYNC_PICTURES.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("OKTASYNC_PICTURES")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.must(b.session, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	check(b.t, err)
	check(b.t, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o600))
}

// checkConsole fails the test if the console shows a message, or if the page sent
// a request to another origin.
func (b *browser) checkConsole(origin string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.console {
		b.t.Errorf("console: %s", line)
	}
	if len(b.requests) == 0 {
		b.t.Error("the page sent no request")
	}
	for _, url := range b.requests {
		if !strings.HasPrefix(url, origin+"/") && url != "about:blank" {
			b.t.Errorf("the page requested %s", url)
		}
	}
	b.console, b.requests = nil, nil
}
