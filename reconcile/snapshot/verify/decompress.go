package verify

import (
	"bytes"
	"io"
	"sync"

	"oktasync/reconcile/snapshot"
)

// An decompressor decompresses lines in a goroutine of its own, so that whoever
// looks at them does so meanwhile. It keeps a few blocks of them in memory, and
// blocks grow no further than for the longest line.
type decompressor struct {
	blocks  chan block
	free    chan []byte
	quit    chan struct{}
	working sync.WaitGroup
	readErr error // of reading to the end what is compressed; for whoever has called stop

	block block  // the one at hand
	rest  []byte // what is left of it
	n     int    // lines so far
}

// A block is some whole lines, or why none follow.
type block struct {
	lines []byte
	err   error
}

const (
	blockSize  = 256 << 10
	mostBlocks = 3
)

// decompress decompresses r, and shows content every byte that comes out. It reads r
// to its end in any case.
func decompress(r io.Reader, content io.Writer) (*decompressor, error) {
	decoder, err := snapshot.NewDecoder(r)
	if err != nil {
		return nil, err
	}
	u := &decompressor{blocks: make(chan block, mostBlocks+1), free: make(chan []byte, mostBlocks), quit: make(chan struct{})}
	for range mostBlocks {
		u.free <- nil
	}
	u.working.Go(func() {
		defer close(u.blocks)
		defer decoder.Close()
		err := u.fill(decoder, content)
		if _, u.readErr = io.Copy(io.Discard, r); err != nil {
			u.blocks <- block{err: err} // which never waits: there is room for all blocks and this
		}
	})
	return u, nil
}

// fill hands on blocks until there are no more, or nobody wants them. Its error
// is for the next block.
func (u *decompressor) fill(r io.Reader, content io.Writer) error {
	var cut []byte // the begin of a line that the last block did not hold to its end
	for {
		var lines []byte
		select {
		case lines = <-u.free:
		case <-u.quit:
			return nil
		}
		lines = append(lines[:0], cut...)
		end, err := 0, error(nil)
		for end == 0 && err == nil {
			if len(lines) > snapshot.MaxLine {
				return snapshot.ErrLongLine
			}
			lines, err = readBlock(r, lines)
			end = bytes.LastIndexByte(lines, '\n') + 1
		}
		content.Write(lines[:end])
		cut = append(cut[:0], lines[end:]...)
		if end > 0 {
			u.blocks <- block{lines: lines[:end]}
		}
		switch {
		case err == io.EOF && len(cut) > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// readBlock reads a block, of which lines has the begin.
func readBlock(r io.Reader, lines []byte) ([]byte, error) {
	size := (len(lines)/blockSize + 1) * blockSize
	if cap(lines) < size {
		lines = append(make([]byte, 0, size), lines...)
	}
	for len(lines) < size {
		n, err := r.Read(lines[len(lines):size])
		lines = lines[:len(lines)+n]
		if err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// next returns the next line with its line feed, valid until the following
// call. After the last one it returns io.EOF.
func (u *decompressor) next() ([]byte, error) {
	for len(u.rest) == 0 {
		if u.block.err != nil {
			return nil, u.block.err
		}
		if u.block.lines != nil {
			u.free <- u.block.lines
		}
		u.block = <-u.blocks
		u.rest = u.block.lines
	}
	end := bytes.IndexByte(u.rest, '\n') + 1
	line := u.rest[:end]
	u.rest = u.rest[end:]
	u.n++
	return line, nil
}

// stop waits until what is compressed has been read to its end.
func (u *decompressor) stop() error {
	close(u.quit)
	u.working.Wait()
	return u.readErr
}
