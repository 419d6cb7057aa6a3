package verify_test

import (
	"errors"

	"oktasync/dpopauth/verify"
)

// reasonOf returns the Reason of err, 0 for nil and -1 for any other error.
func reasonOf(err error) verify.Reason {
	var refusal *verify.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &refusal):
		return refusal.Reason
	}
	return -1
}
