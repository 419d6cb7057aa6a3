package oktaclient

import (
	"errors"
	"net/http"
)

// NextPage returns the URL of the page after resp, "" after the last one. It
// refuses a link to another origin or another path than resp came from.
func NextPage(resp *http.Response) (string, error) {
	return "", errors.ErrUnsupported
}
