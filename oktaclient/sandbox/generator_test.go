package sandbox_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"testing"
	"unicode/utf8"

	"oktasync/oktaclient/sandbox"
)

// A correct client reads exactly the org's users, byte for byte, without a violation.
func TestReadAllUsers(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 450, Deprovisioned: 37})
	got := map[string][]byte{}
	for _, target := range []string{list("limit", "200"), list("filter", `status eq "DEPROVISIONED"`)} {
		ids, rows, err := c.all(target)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			got[id] = rows[i]
		}
	}
	n, size := 0, 0
	for id, want := range c.org.UsersJSON() {
		n, size = n+1, size+len(want)
		if !bytes.Equal(got[id], want) {
			t.Fatalf("user %s = %s, want %s", id, got[id], want)
		}
	}
	if n != 450 || len(got) != 450 || c.org.Count()["DEPROVISIONED"] != 37 {
		t.Errorf("users = %d, read %d, by status %v; want 450, 37 of them deprovisioned", n, len(got), c.org.Count())
	}
	if average := size / n; average < 1200 || average > 1700 {
		t.Errorf("average user = %d bytes, want about 1,400", average)
	}
	c.noViolations()
}

// Rule 31: the generated users contain all forms that Okta can send.
func TestGeneratedUsers(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 1000, Seed: 7})
	again := sandbox.NewOrg(sandbox.Config{Users: 1000, Seed: 7})
	seen := map[string]bool{}
	ids := map[string]bool{}
	last := ""
	for id, user := range org.UsersJSON() {
		if !regexp.MustCompile(`^00u[0-9A-Za-z]{17}$`).MatchString(id) || id <= last {
			t.Fatalf("id %q after %q, want 00u and 17 more, ascending", id, last)
		}
		last, ids[id] = id, true
		if same, _ := again.User(id); !bytes.Equal(same, user) {
			t.Fatalf("same seed, other user: %s\n%s", user, same)
		}
		for _, r := range string(user) {
			if r == utf8.RuneError || utf8.RuneLen(r) > 3 {
				t.Fatalf("user %s contains %q, want at most three bytes of UTF-8", id, r)
			}
			seen[script(r)] = true
		}
		var u struct {
			Status, TransitioningToStatus string
			Activated, LastLogin          *string
			Profile                       map[string]json.RawMessage
		}
		if err := json.Unmarshal(user, &u); err != nil {
			t.Fatalf("user %s: %v", user, err)
		}
		seen[u.Status] = true
		seen["transition"] = seen["transition"] || u.TransitioningToStatus != ""
		seen["active, never activated"] = seen["active, never activated"] || u.Status == "ACTIVE" && u.Activated == nil
		for name, value := range u.Profile {
			seen[name+"="+string(value)] = true
		}
		if _, ok := u.Profile["deskNote"]; !ok {
			seen["deskNote missing"] = true
		}
	}
	if len(ids) != 1000 {
		t.Errorf("ids = %d, want 1000", len(ids))
	}
	for _, want := range []string{
		"STAGED", "PROVISIONED", "ACTIVE", "RECOVERY", "LOCKED_OUT", "PASSWORD_EXPIRED", "SUSPENDED", "DEPROVISIONED",
		"transition", "active, never activated",
		"Latin with diacritics", "Greek", "Cyrillic", "Arabic", "Hebrew", "Han", "Kana", "Hangul", "Devanagari", "Thai",
		"mileageRate=1.50", "mileageRate=12345678901234567890.10", "onCall=true", "onCall=false", "certifications=[]",
		"costSplit=[0.50,0.50]", "accessTiers=[1,2,9007199254740993]", `deskNote=""`, "deskNote=null", "deskNote missing", "secondEmail=null",
	} {
		if !seen[want] {
			t.Errorf("no user has %s", want)
		}
	}
}

func script(r rune) string {
	switch {
	case r >= 0xC0 && r < 0x250, r >= 0x1E00 && r < 0x1F00:
		return "Latin with diacritics"
	case r >= 0x370 && r < 0x400:
		return "Greek"
	case r >= 0x400 && r < 0x530:
		return "Cyrillic"
	case r >= 0x590 && r < 0x600:
		return "Hebrew"
	case r >= 0x600 && r < 0x700:
		return "Arabic"
	case r >= 0x900 && r < 0x980:
		return "Devanagari"
	case r >= 0xE00 && r < 0xE80:
		return "Thai"
	case r >= 0x3040 && r < 0x3100:
		return "Kana"
	case r >= 0x4E00 && r < 0xA000:
		return "Han"
	case r >= 0xAC00 && r < 0xD7B0:
		return "Hangul"
	}
	return "other"
}
