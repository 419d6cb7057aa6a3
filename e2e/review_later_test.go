package e2e

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// After a review, the check follows what was revoked. The journal has each file once, and
// verify accepts it.
func TestReviewOfRevokedAccess(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	rows := s.copyRows()
	for _, row := range [][]string{s.row(rows, "00uada", "Tower"), s.row(rows, "00ubob", "Tower"), s.row(rows, "00ubob", "Logbook"), s.row(rows, "00ueve", "Logbook")} {
		s.set(row, "decision", "revoke")
	}
	s.write(t, "f.csv", ',', rows...)
	got := s.check(t, 0, "f.csv")
	digest := strings.Fields(s.sh(t, "sha256sum f.csv"))[0]
	for _, want := range []string{"decided by LEE@acme.example: 7 keep, 4 revoke\n", "decided by 00ubob: 5 keep, 0 revoke\n", "f.csv: SHA-256 " + digest + ", recorded in the journal by "} {
		if !strings.Contains(got, want) {
			t.Errorf("output\n%s\nwant %q", got, want)
		}
	}
	check(t, errors.Join(s.org.UnassignUser(s.tower, "00uada"), s.org.UnassignUser(s.tower, "00ubob"), s.org.RemoveMember(s.pilots, "00ueve")))
	s.apply(t)
	second, err := os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	check(t, s.org.AssignUser(s.tower, "00ubob", ""))
	s.apply(t)
	third, err := os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	got = s.check(t, 1, "f.csv")
	for _, want := range []string{
		": gone: ada@acme.example, Tower, direct: revoked; first not in " + second,
		": gone: eve@acme.example, Logbook, group, Pilots: revoked; first not in " + second,
		": granted_again: bob@acme.example, Tower, direct: revoked; not in " + second + ", and again in " + third,
		": still_present: bob@acme.example, Logbook, direct: revoked, but still in " + third,
		"recorded before, 20", "2 problems found",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("output\n%s\nwant %q", got, want)
		}
	}
	if line := `"event":"review_recorded"`; strings.Count(s.journal(t), line) != 1 || !strings.Contains(s.journal(t), `"review_sha256":"`+digest+`","snapshot":"`+s.snapshot+`"`) {
		t.Errorf("the journal has the file %d times:\n%s", strings.Count(s.journal(t), line), s.journal(t))
	}
	s.must(t, 0, "verify")
	s.must(t, 0, "status")
	if got := s.must(t, 1, "review", "check", "f.csv", "--against", "all-users@"+second).stderr; !strings.Contains(got, `f.csv:2: is about the snapshot "`+s.snapshot) ||
		!strings.Contains(got, "hint: the file is about another snapshot: --against all-users@"+s.snapshot+"\n") {
		t.Errorf("against another snapshot: %s", got)
	}
	if got := s.must(t, 1, "review", "check", "f.csv", "--against", "all-users@"+s.snapshot, "--store", "snapshots").stderr; !strings.Contains(got, "add --no-record") {
		t.Errorf("without a configuration: %s", got)
	}
}

// A snapshot after the review that a person moved to pruned/, or that is missing, is a
// problem: the check can't follow the revoked access in it.
func TestReviewAfterASnapshotWasMoved(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	rows := s.copyRows()
	s.set(s.row(rows, "00uada", "Tower"), "decision", "revoke")
	s.write(t, "f.csv", ',', rows...)
	s.apply(t)
	second, err := os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	s.apply(t)
	s.sh(t, "mkdir snapshots/all-users/pruned && mv snapshots/all-users/"+second+" snapshots/all-users/pruned/")
	if got, want := s.check(t, 1, "f.csv", "--no-record"), "snapshot_missing: "+second+": its records are missing, and no covered line of the journal records that they were removed\n"; !strings.Contains(got, want) {
		t.Errorf("after a move to pruned/, output\n%s\nwant %q", got, want)
	}
	s.sh(t, "rm -r snapshots/all-users/pruned")
	if got, want := s.check(t, 1, "f.csv", "--no-record"), ": manifests before it are missing or changed"; !strings.Contains(got, want) {
		t.Errorf("without the manifest, output\n%s\nwant %q", got, want)
	}
}

// A note shows how to keep the snapshot of a review that retention can prune. After a prune,
// review check reports it.
func TestReviewOfAPrunedSnapshot(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	s := newReviewSite(t)
	s.write(t, "f.csv", ',', s.rows...)
	report := []string{"report", "all-users", "--review", "manager", "--format", "csv"}
	config := read(t, s.path("oktasync.yaml"))
	for _, keepsAll := range []string{"", "    retain: {changes: 84}\n"} {
		write(t, s.path("oktasync.yaml"), config+keepsAll)
		if got := s.must(t, 0, report...).stderr; got != "" {
			t.Errorf("with %q: %s", keepsAll, got)
		}
	}
	write(t, s.path("oktasync.yaml"), config+"    retain: {last: 3}\n")
	want := "oktasync: note: retention can prune " + s.snapshot + " before the review ends; to keep it, set `hold: [" + s.snapshot + "]` of the export all-users\n"
	if got := s.must(t, 0, report...).stderr; got != want {
		t.Errorf("with retain: %s, want %s", got, want)
	}
	write(t, s.path("oktasync.yaml"), config+"    retain: {last: 3}\n    hold: ["+s.snapshot+"]\n")
	if got := s.must(t, 0, report...).stderr; got != "" {
		t.Errorf("with hold: %s", got)
	}
	s.must(t, 0, "prune", "all-users@"+s.snapshot, "--reason", "GDPR-12")
	if got, want := s.check(t, 1, "f.csv"), "all-users@"+s.snapshot+" was pruned; only its manifest is kept"; !strings.Contains(got, want) {
		t.Errorf("output %s, want %s", got, want)
	}
	if got, want := s.must(t, 1, "show", "all-users@2099-01-01").stderr, "all-users has no snapshot: all were pruned; `oktasync apply all-users` publishes one"; !strings.Contains(got, want) {
		t.Errorf("output %s, want %s", got, want)
	}
}
