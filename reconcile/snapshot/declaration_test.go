package snapshot_test

import (
	jsonv2 "github.com/go-json-experiment/json"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

func TestDeclarationJSON(t *testing.T) {
	d := recordtest.Declaration()
	d.Resources["groups"] = snapshot.DeclaredResource{
		Attributes: canonjson.Attributes{Include: []string{}, Exclude: []string{"_links"}},
		Changes:    snapshot.Changes{Ignore: []string{"lastUpdated"}},
		Guard:      snapshot.Guard{MaxRemoved: snapshot.Percent(5), AtLeast: 10, Min: 1},
	}
	b, err := canonjson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	recordtest.Golden(t, "declaration.golden.json", append(b, '\n'))

	var again snapshot.Declaration
	if err := jsonv2.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if b2, _ := canonjson.Marshal(again); string(b2) != string(b) {
		t.Errorf("parsed and written again: %s, want %s", b2, b)
	}
	if !again.Equal(d) {
		t.Error("Equal() = false for the parsed declaration")
	}
}

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		text      string
		total, of int
	}{
		{"0", 1000, 0}, {"25", 1000, 25}, {"25", 3, 25}, {"1%", 1000, 10}, {"1%", 99, 0}, {"1%", 199, 1},
		{"0.5%", 1000, 5}, {"4.35%", 10000, 435}, {"2.9%", 1000, 29}, {"0.001%", 100000, 1}, {"100%", 7, 7},
		{"5%", 2_000_000_000, 100_000_000},
	} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(test.text)); err != nil {
			t.Errorf("UnmarshalText(%s): %v", test.text, err)
			continue
		}
		if l.String() != test.text {
			t.Errorf("String() = %s, want %s", l, test.text)
		}
		if got := l.Of(test.total); got != test.of {
			t.Errorf("%s of %d = %d, want %d", l, test.total, got, test.of)
		}
	}
	if l := snapshot.Count(25); l.String() != "25" || l.Of(7) != 25 {
		t.Errorf("Count(25) = %s", l)
	}
	for text, want := range map[string]string{"007": "7", "1.50%": "1.5%", "1.000%": "1%", "00.5%": "0.5%"} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(text)); err != nil || l.String() != want {
			t.Errorf("UnmarshalText(%s) = %s, %v, want %s", text, l, err, want)
		}
	}
	for _, text := range []string{"", "%", "-1", "+1", "1.5", "1 %", " 1%", "1.%", ".5%", "1.2345%", "1e3", "all",
		"100.001%", "101%", "99999999999999999999", "99999999999999999999%"} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("UnmarshalText(%q) = %s, %v, want an error that quotes it", text, l, err)
		}
	}
}
