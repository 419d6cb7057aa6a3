package e2e

import (
	"strings"
	"testing"
)

// Retention removes no file of a snapshot that a person without the key has put into
// pruned/, and journals nothing about it. So verify reports it also later.
func TestRetentionLeavesWhatWasMovedToPruned(t *testing.T) {
	const missing = "its records are missing, and no covered line of the journal records that it was pruned"
	prepared := newRotatedSite(t)
	names := newAttack(t, prepared).names()
	held, newest := names[1], names[2]
	for _, test := range []struct {
		name   string
		script string // in the export's folder, with held as $1
		moved  string // the folder in pruned/
		found  string // by verify
	}{
		{"held", `mv "$1" pruned/`, held, missing},
		{"held and damaged", `echo forged >>"$1/users.changes.ndjson"; mv "$1" pruned/`, held, missing},
		{"held, without its records", `rm "$1/users.ndjson.zst" "$1/SHA256SUMS"; mv "$1" pruned/`, held, missing},
		{"damaged", `rm "$2/requests.ndjson"; mv "$2" pruned/`, names[0], missing},
		{"planted", `p=pruned/20190101T000000Z; mkdir $p; sed "s/$1/20190101T000000Z/" "$1/manifest.json" >$p/manifest.json
			cp "$1/manifest.json.sig" "$1/users.changes.ndjson" $p/`, "20190101T000000Z", "20190101T000000Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAttack(t, prepared.copy(t))
			a.configureSigned(a, currentKey, signedExport+"    retain: {last: 2}\n    hold: ["+held+"]\n")
			a.sh(t, "cd snapshots/all-users; mkdir pruned; set -- "+held+" "+names[0]+"; "+test.script)
			content := func() string { return a.sh(t, "cd snapshots/all-users/pruned/"+test.moved+"; sha256sum *") }
			before := content()
			for range 2 {
				a.must(t, 0, "apply")
			}
			if after := content(); after != before {
				t.Errorf("retention has changed %s from\n%sto\n%s", test.moved, before, after)
			}
			for _, line := range a.lines() {
				if strings.Contains(line, `"event":"pruned"`) && strings.Contains(line, `"`+test.moved+`"`) {
					t.Errorf("the journal has %s", line)
				}
			}
			if out := a.must(t, 1, "verify").stdout; !strings.Contains(out, "all-users/pruned/"+test.moved) || !strings.Contains(out, test.found) {
				t.Errorf("verify: %swant %q", out, test.found)
			}
			if !strings.Contains(a.journal(t), `"event":"pruned","export":"all-users","files":["users.ndjson.zst"`) || strings.Contains(strings.Join(a.names(), " "), newest) {
				t.Errorf("retention has removed nothing: %q", a.names())
			}
		})
	}
}
