package reconcile_test

import (
	"testing"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

func TestDefaults(t *testing.T) {
	e := reconcile.DefaultExport()
	e.Name, e.Groups = "all-users", new(reconcile.Resource)
	e.Groups.SetDefaults("groups")
	if err := e.Validate(); err != nil {
		t.Errorf("Validate() = %v, want nil", err)
	}
	b, err := canonjson.Marshal(e.Declaration())
	if err != nil {
		t.Fatal(err)
	}
	recordtest.Golden(t, "declaration.golden.json", append(b, '\n'))

	e.Formats[0], e.Users.Changes.Ignore[0] = "csv", "status"
	if other := reconcile.DefaultExport(); other.Formats[0] == "csv" || other.Users.Changes.Ignore[0] == "status" {
		t.Error("two default exports share a slice")
	}
}

// A declaration lists ndjson, and has no null.
func TestDeclarationIsComplete(t *testing.T) {
	e := reconcile.Export{Formats: []string{"csv"}, Users: new(reconcile.Users), Groups: new(reconcile.Resource)}
	got, err := canonjson.Marshal(e.Declaration())
	want := `{"formats":["ndjson","csv"],` +
		`"groups":{"attributes":{"exclude":[],"include":[]},"changes":{"ignore":[]},"guard":{"at_least":0,"max_removed":"0","min":0}},` +
		`"users":{"attributes":{"exclude":[],"include":[]},"changes":{"ignore":[]},` +
		`"guard":{"at_least":0,"max_deactivated":"0","max_removed":"0","min":0},"include_deprovisioned":false,"search":""}}`
	if err != nil || string(got) != want {
		t.Errorf("Declaration() = %s, %v, want %s", got, err, want)
	}
}

func TestLocationOfAnUnknownZoneIsUTC(t *testing.T) {
	if got := (reconcile.Export{TimeZone: "Mars/Olympus"}).Location(); got != time.UTC {
		t.Errorf("Location() = %v, want UTC", got)
	}
}

// Changes files outlive their snapshots for as many months as monthly says, unless
// changes says another number.
func TestRetentionOfChangesByDefault(t *testing.T) {
	e := reconcile.DefaultExport()
	for changes, want := range map[int]int{0: 84, 12: 12} {
		e.Retain = reconcile.Retain{Monthly: 84, Changes: changes}
		if got := e.Retention().Changes; got != want {
			t.Errorf("with changes: %d, changes files are kept for %d months, want %d", changes, got, want)
		}
	}
}
