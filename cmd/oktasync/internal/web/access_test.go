package web

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// Two users with the password "right", whose hashes have different costs.
var testUsers = map[string]string{
	"ops":     "$2a$04$h6oxpKMkbtzPOSTQCikV8eoIUp5.7t0Y69FzS79MvjUogcEIWinDy",
	"grafana": "$2a$05$2HX67Jk8SnDKnJrHted.COnWEyx2gdcd2xcYcHCLWV77d1LSLsitG",
}

// request returns the status of the response to a name and a password.
func request(access *Access, name, password string) int {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if name != "" {
		r.SetBasicAuth(name, password)
	}
	w := httptest.NewRecorder()
	access.allow(w, r)
	return w.Code
}

func TestPasswords(t *testing.T) {
	access := NewAccess(AccessConfig{Users: testUsers})
	for range 2 { // the second time with cached passwords
		for _, test := range []struct {
			name, password string
			want           int
		}{
			{"ops", "right", 200}, {"ops", "wrong", 401}, {"ops", "", 401}, {"", "", 401}, {"nobody", "right", 401}, {"Ops", "right", 401},
		} {
			if got := request(access, test.name, test.password); got != test.want {
				t.Errorf("%s with %q: %d, want %d", test.name, test.password, got, test.want)
			}
		}
	}
}

// A wrong password costs the same for each name, also the second time: its hash
// is computed, with the cost of a user's hash. A valid password is cached, so that
// guesses don't delay users.
func TestLoginCostDoesNotRevealUsers(t *testing.T) {
	access := NewAccess(AccessConfig{Users: testUsers})
	names := []string{"ops", "grafana", "nobody", "root"}
	for _, name := range names {
		request(access, name, "wrong")
	}
	request(access, "ops", "right")
	access.waiting.Store(maxWaiting) // each hash would have to wait
	for _, name := range names {
		if got := request(access, name, "wrong"); got != http.StatusTooManyRequests {
			t.Errorf("%s with a wrong password: %d, want 429", name, got)
		}
	}
	if got := request(access, "ops", "right"); got != http.StatusOK {
		t.Errorf("a valid password during guesses: %d, want 200", got)
	}
	decoys := make(map[int]bool)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		cost, err := bcrypt.Cost([]byte(access.Users[access.decoy(name)]))
		if err != nil {
			t.Fatal(err)
		}
		decoys[cost] = true
	}
	if !decoys[4] || !decoys[5] || len(decoys) != 2 {
		t.Errorf("names without a user have the costs %v, want those of the users", decoys)
	}
}
