package oktaclient

// Error is a request that failed for good. It never holds anything of an
// answer's body but Okta's error code.
type Error struct {
	Status    int    // 0: no answer that could be used
	Code      string // Okta's error code, or the OAuth code of a challenge
	RequestID string // Okta's
	Path      string // without the query, which may name people
	Page      int    // which page of a list, from 1; 0: no list
	Tries     int    // how often it was tried
	Reason    string // what was wrong with an answer, or that there was none
	Err       error  // the cause, where there was no answer
}

func (e *Error) Error() string { return "okta: " + e.Code }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says in a sentence what a person can do about e; "": nothing known.
func (e *Error) Hint() string { return "" }
