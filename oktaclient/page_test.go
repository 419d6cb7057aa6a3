package oktaclient_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"oktasync/oktaclient"
)

// scanByLibrary does what Scan does with encoding/json.
func scanByLibrary(body []byte) (users []oktaclient.Record, ok bool) {
	var elements []json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &elements) != nil || elements == nil {
		return nil, false
	}
	for _, element := range elements {
		user := oktaclient.Record{JSON: element}
		for name, field := range map[string]*string{"id": &user.ID, "status": &user.Status, "lastUpdated": &user.LastUpdated} {
			if !member(element, name, field) {
				return nil, false
			}
		}
		if user.ID == "" || user.Status == "" || max(len(user.ID), len(user.Status), len(user.LastUpdated)) > 256 {
			return nil, false
		}
		users = append(users, user)
	}
	return users, true
}

// member finds the one member of that name, a string or null.
func member(object []byte, name string, value *string) bool {
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return false
	}
	found := false
	for d.More() {
		key, _ := d.Token()
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return false
		}
		if key != name {
			continue
		}
		if found || raw[0] != '"' && string(raw) != "null" || json.Unmarshal(raw, value) != nil {
			return false
		}
		found = true
	}
	return true
}

// Scan returns the records that encoding/json returns, and rejects what
// encoding/json rejects, what is not a list of records, and lone surrogates.
func FuzzScan(f *testing.F) {
	seeds := pageSeeds()
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) {
			return // encoding/json replaces lone surrogates
		}
		want, ok := scanByLibrary(body)
		got, err := oktaclient.Scan(body)
		if (err == nil) != ok {
			t.Fatalf("Scan(%q) = %v, want ok %v", body, err, ok)
		}
		if err != nil {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("Scan(%q) has %d users, want %d", body, len(got), len(want))
		}
		for i, u := range got {
			w := want[i]
			if u.ID != w.ID || u.Status != w.Status || u.LastUpdated != w.LastUpdated || !bytes.Equal(u.JSON, w.JSON) {
				t.Fatalf("Scan(%q)[%d] = %q, want %q", body, i, u, w)
			}
		}
	})
}

// pageSeeds returns valid and invalid pages.
func pageSeeds() []string {
	seeds := []string{
		`[]`, ` [ ] `, "[" + user("00u1") + ",\r\n\t" + user("00u7") + "]",
		`[{"id":"a","status":"ACTIVE","lastUpdated":null,"x":[1,-0.5e+10,true,false,null,{"y":{}}],"\u0069":"\ud83d\ude00\n"}]`,
		`[{"\u0069d":"\u00e9\/","status":"\"","x":"Łódź 東京"}]`,
		`[{"profile":{"id":"inner","status":"x"},"status":"A","id":"outer"}]`,
		`[{"ID":"a","id":"b","Status":"c","status":"d"}]`,
		// Broken:
		``, `null`, `{}`, `[null]`, `[1]`, `[[]]`, `[{}]`, `[{"id":"a"}]`, `[{"id":1,"status":"A"}]`, `[{"id":"a","status":null}]`,
		`[{"id":"","status":"A"}]`, `[{"id":"a","id":"b","status":"A"}]`, `[{"id":"a","status":"A","lastUpdated":5}]`,
		`[] []`, `[],`, `[,]`, `[{,"id":"a","status":"A"}]`, `[{"id":"a","status":"A","x":[,1]}]`, `[{"id":"a","status":"A","x":{,"y":1}}]`, `[{"id":"a","status":"A","x":[1,]}]`,
		`[{"id":"a","status":"A","x":{"y":1,}}]`, `[{"id":"a","status":"A","x":{"y"}}]`, `[{"id":"a","status":"A","x":[1}]}]`, `[{"id":"a","status":"A","lastUpdated":null,"lastUpdated":"x"}]`,
		`[{"id":"a","status":"A"},]`, `[{"id":"a","status":"A",}]`, `[{"id":"a" "status":"A"}]`,
		`[{"id":"a","status":"A"}`, `[{"id":"a","status":"A"`, `[{"id":"a","status":"A","x":"`, `[{"id":"a","status":"A","x":"\`,
		"[{\"id\":\"a\nb\",\"status\":\"A\"}]", `[{"id":"\x","status":"A"}]`, `[{"id":"\u12g4","status":"A"}]`,
		"[{\"id\":\"\xff\",\"status\":\"A\"}]", `[{'id':"a","status":"A"}]`, `[{id:"a","status":"A"}]`, "\ufeff[]",
	}
	for _, number := range []string{"0", "-0", "01", "1.", ".5", "-", "+1", "1e", "1e+", "1E-07", "1.5e3", "0x1", "NaN", "1_0", "tru", "nulll", "-a", "1.e1"} {
		seeds = append(seeds, `[{"id":"a","status":"A","x":`+number+`}]`, `[{"id":"a","status":"A","x":[`+number+`,2]}]`)
	}
	return seeds
}

// The seeds contain enough valid and invalid pages.
func TestPageSeeds(t *testing.T) {
	good, bad := 0, 0
	for _, seed := range pageSeeds() {
		if _, ok := scanByLibrary([]byte(seed)); ok {
			good++
		} else {
			bad++
		}
	}
	if good < 15 || bad < 50 {
		t.Errorf("%d good and %d bad seeds, want at least 15 and 50", good, bad)
	}
}

// A page that ends early is an error, and never a shorter list.
func TestScanRejectsEveryPrefix(t *testing.T) {
	page := "[" + user("00u1") + "," + user("00u7") + "]"
	for end := range len(page) {
		if users, err := oktaclient.Scan([]byte(page[:end])); err == nil {
			t.Fatalf("Scan(%q) = %d users, want an error", page[:end], len(users))
		}
	}
}
