package verify_test

import (
	"errors"

	"oktasync/dpopauth/verify"
)

// reasonOf returns the Reason of err, "" for nil.
func reasonOf(err error) verify.Reason {
	var refusal *verify.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return refusal.Reason
	}
	return verify.Reason("not a refusal: " + err.Error())
}
