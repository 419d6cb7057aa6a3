package dpopauth

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
)

// A networkError is an error of the network in words for people: without the
// URL, and without the ports of this machine, which differ each time.
type networkError struct {
	text string
	err  error
}

func (e *networkError) Error() string { return e.text }
func (e *networkError) Unwrap() error { return e.err }

// bare returns err with nothing in its text that is of no use to people.
func bare(err error) error {
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err
	}
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &networkError{"connection reset", err}
	case err == io.EOF:
		return &networkError{"connection closed", err}
	case errors.As(err, &op):
		return &networkError{words(op), err}
	}
	return err
}

// words is "dial 192.0.2.1:443: connection refused", and for a connection that
// once stood only what became of it.
func words(err error) string {
	switch e := err.(type) {
	case *net.OpError:
		switch {
		case e.Source != nil:
			return words(e.Err)
		case e.Addr != nil:
			return e.Op + " " + e.Addr.String() + ": " + words(e.Err)
		}
		return e.Op + ": " + words(e.Err)
	case *net.DNSError: // its own text may show the ports of the name service
		switch {
		case e.IsNotFound:
			return "lookup " + e.Name + ": no such host"
		case e.IsTimeout:
			return "lookup " + e.Name + ": timeout"
		}
		return "lookup " + e.Name + ": name service failed"
	case *os.SyscallError:
		return e.Err.Error()
	}
	return err.Error()
}
