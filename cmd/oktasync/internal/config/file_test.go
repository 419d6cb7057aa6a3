package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func newPipe(t *testing.T) string {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	return pipe
}

// An argument may be a pipe, also one whose writer starts later.
func TestReadPipe(t *testing.T) {
	for size, problem := range map[int]string{100_000: "", 200_000: "larger than 150000 bytes"} {
		pipe, want := newPipe(t), bytes.Repeat([]byte("x"), size)
		written := make(chan struct{})
		go func() {
			defer close(written)
			f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // once there is a reader
			if err != nil {
				t.Error(err)
				return
			}
			f.Write(want) // the reader may stop earlier
			f.Close()
		}()
		got, err := ReadArgument(pipe, 150_000)
		<-written
		switch {
		case problem == "" && (err != nil || !bytes.Equal(got, want)):
			t.Errorf("%d bytes and %v, want %d", len(got), err, size)
		case problem != "" && (err == nil || !strings.Contains(err.Error(), problem)):
			t.Errorf("%d bytes: error = %v, want %q", size, err, problem)
		}
	}
}

func TestReadPipeWithoutAWriter(t *testing.T) {
	pipe := newPipe(t)
	synctest.Test(t, func(t *testing.T) {
		if _, err := ReadArgument(pipe, 10); err == nil || !strings.HasSuffix(err.Error(), "is a pipe without a writer") {
			t.Errorf("ReadArgument of a pipe without a writer: %v", err)
		}
	})
	if _, err := ReadFile(pipe, 10); err == nil || !strings.HasSuffix(err.Error(), "is not a regular file") {
		t.Errorf("ReadFile of a pipe: %v", err)
	}
}

func TestBaseDir(t *testing.T) {
	for file, want := range map[string]string{
		"/etc/oktasync/oktasync.yaml": "/etc/oktasync", "oktasync.yaml": ".", "a/b": "a",
		"/dev/stdin": ".", "/dev/fd/63": ".", "/proc/self/fd/0": ".", "//dev/stdin": ".", "/device/x": "/device", "/dev/shm/x": "/dev/shm",
	} {
		if got := baseDir(file); got != want {
			t.Errorf("baseDir(%q) = %q, want %q", file, got, want)
		}
	}
}
