// Package readahead reads a file while the caller works on earlier bytes.
//
// Packages verify and access use it for compressed records. Start reading at [New].
package readahead

import "io"

// A Reader reads from another reader in its own goroutine, and writes what it reads to
// a digest. So hashing and decompression run while the caller works on earlier bytes. It
// keeps a few chunks in memory. The caller must close it. It isn't safe for concurrent
// use.
type Reader struct {
	chunks chan []byte   // closed after the last one
	free   chan []byte   // to be filled
	quit   chan struct{} // closed by Close
	err    error         // of the other reader; set before chunks is closed
	panic  any           // of the other reader, like err
	chunk  []byte        // the current chunk
	rest   []byte        // the part of chunk that wasn't returned yet
}

const (
	chunkSize = 128 << 10
	maxChunks = 4
)

// New reads r, and closes it at the end. The caller may use sum after Read has returned
// an error, or after Close.
func New(r io.ReadCloser, sum io.Writer) *Reader {
	a := &Reader{chunks: make(chan []byte, maxChunks), free: make(chan []byte, maxChunks), quit: make(chan struct{})}
	for range maxChunks {
		a.free <- nil
	}
	go a.fill(r, sum)
	return a
}

// fill sends chunks until r ends or the reader is closed. A send never blocks,
// because all chunks fit into the channel.
func (a *Reader) fill(r io.ReadCloser, sum io.Writer) {
	defer close(a.chunks)
	defer func() { a.panic = recover() }()
	defer r.Close()
	for a.err == nil {
		select {
		case <-a.quit:
			a.err = io.ErrClosedPipe
		case chunk := <-a.free:
			if chunk == nil {
				chunk = make([]byte, chunkSize)
			}
			var n int
			n, a.err = r.Read(chunk[:chunkSize])
			sum.Write(chunk[:n])
			a.chunks <- chunk[:n]
		}
	}
}

// Read implements io.Reader. After Read has returned an error, the goroutine no
// longer uses the other reader. If the other reader panics, so does Read.
func (a *Reader) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.chunk != nil {
			a.free <- a.chunk
		}
		a.chunk = <-a.chunks
		if a.rest = a.chunk; a.chunk == nil {
			if a.panic != nil {
				panic(a.panic)
			}
			return 0, a.err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close waits until the goroutine has closed the other reader.
func (a *Reader) Close() error {
	close(a.quit)
	for range a.chunks {
	}
	a.chunk, a.rest = nil, nil
	return nil
}
