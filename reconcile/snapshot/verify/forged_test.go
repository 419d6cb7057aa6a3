package verify_test

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// A forger changes the newest snapshot, and then recomputes every digest and the
// journal. Verify finds contradictions within the snapshot.
type forger struct {
	testing.TB
	files map[string]string // content of the snapshot's files, decompressed
	m     *snapshot.Manifest
}

func (f *forger) replace(file, from, to string) {
	f.Helper()
	if !strings.Contains(f.files[file], from) {
		f.Fatalf("no %q in %s:\n%s", from, file, f.files[file])
	}
	f.files[file] = strings.Replace(f.files[file], from, to, 1)
}

// lines changes the lines of a file.
func (f *forger) lines(file string, change func(lines []string) []string) {
	f.files[file] = strings.Join(change(slices.Collect(strings.Lines(f.files[file]))), "")
}

// remove removes line n of a file, counted from 0.
func (f *forger) remove(file string, n int) {
	f.lines(file, func(lines []string) []string { return slices.Delete(lines, n, n+1) })
}

// count changes the counts of a resource.
func (f *forger) count(resource string, change func(*snapshot.Counts)) {
	counts := f.m.Resources[resource]
	change(&counts)
	f.m.Resources[resource] = counts
}

// entry returns the entry of a file in the manifest.
func (f *forger) entry(name string) *snapshot.File {
	return &f.m.Files[slices.IndexFunc(f.m.Files, func(file snapshot.File) bool { return file.Name == name })]
}

func forge(t testing.TB, s *snapshot.Store, change func(f *forger)) {
	t.Helper()
	snap := storetest.Find(t, s, "")
	f := &forger{TB: t, files: make(map[string]string), m: &snap.Manifest}
	for _, file := range f.m.Files {
		f.files[file.Name] = storetest.Read(t, snap.Dir(), file.Name)
		if file.ContentSHA256 != "" {
			f.files[file.Name] = decompress(t, f.files[file.Name])
		}
	}
	before := slices.Clone(f.m.Files)
	change(f)
	for i := range f.m.Files {
		file := &f.m.Files[i]
		data := []byte(f.files[file.Name])
		if before[i].ContentSHA256 != "" {
			if file.ContentSHA256 == before[i].ContentSHA256 {
				file.ContentSHA256 = snapshot.DigestOf(data)
			}
			encoder, err := zstd.NewWriter(nil)
			storetest.Must(t, err)
			data = encoder.EncodeAll(data, nil)
		}
		file.Bytes, file.SHA256 = int64(len(data)), snapshot.DigestOf(data)
		storetest.Write(t, filepath.Join(snap.Dir(), file.Name), string(data))
	}
	manifest, err := canonjson.Marshal(f.m)
	storetest.Must(t, err)
	manifest = append(manifest, '\n')
	digest := snapshot.DigestOf(manifest)
	storetest.Write(t, filepath.Join(snap.Dir(), "manifest.json"), string(manifest))
	sums := snapshot.Sums(append(slices.Clone(f.m.Files), snapshot.File{Name: "manifest.json", SHA256: digest}))
	storetest.Write(t, filepath.Join(snap.Dir(), "SHA256SUMS"), string(sums))
	last := rewriteJournal(t, s.Path(staff, "journal.ndjson"), snap.Digest, digest)
	storetest.Checkpoint(t, s, func(c *snapshot.Checkpoint) { c.ManifestSHA256, c.LineSHA256 = digest, last })
}

// rewriteJournal replaces the digest of a manifest in a journal, and returns the
// digest of the last line.
func rewriteJournal(t testing.TB, path, was, is string) string {
	t.Helper()
	var journal []byte
	last := ""
	for line := range strings.Lines(storetest.Read(t, path)) {
		var e map[string]any
		storetest.Must(t, json.Unmarshal([]byte(line), &e))
		if e["manifest_sha256"] == was {
			e["manifest_sha256"] = is
		}
		if last != "" {
			e["previous_line_sha256"] = last
		}
		line, err := canonjson.Marshal(e)
		storetest.Must(t, err)
		line = append(line, '\n')
		last, journal = snapshot.DigestOf(line), append(journal, line...)
	}
	storetest.Write(t, path, string(journal))
	return last
}

func decompress(t testing.TB, data string) string {
	t.Helper()
	decoder, err := zstd.NewReader(strings.NewReader(data))
	storetest.Must(t, err)
	defer decoder.Close()
	content, err := io.ReadAll(decoder)
	storetest.Must(t, err)
	return string(content)
}

// Records, CSV files, counts, requests and the snapshot before contain the same
// facts, so correct digests don't hide a change of one of them.
func TestVerifyFindsForgeries(t *testing.T) {
	const (
		users, csv, changes = "users.ndjson.zst", "users.csv", "users.changes.ndjson"
		groups, groupsCSV   = "groups.ndjson.zst", "groups.csv"
		in                  = "staff@" + third + "/"
		badCSV              = in + csv + ": doesn't match the users of the snapshot"
		badChanges          = in + changes + ": is not the difference from " + second
		badCounts           = in + "manifest.json: its counts of users are not those of the difference from " + second
		impossible          = in + "manifest.json: resources: impossible counts of users"
		badStatus           = in + users + ": its users by status are not those of the manifest"
	)
	days := storetest.ThreeDays(t)
	for _, test := range []struct {
		name  string
		forge func(f *forger)
		want  string // prefix of a problem; "": there is none
	}{
		{"nothing", func(*forger) {}, ""},
		{"cell of the CSV", func(f *forger) { f.replace(csv, "Sales", "Sails") }, badCSV},
		{"formula in the CSV", func(f *forger) { f.replace(csv, "'=1+1", "=1+1") }, badCSV},
		{"headers of the CSV", func(f *forger) { f.replace(csv, "login,email", "email,login") }, badCSV},
		{"additional header of the CSV", func(f *forger) { f.replace(csv, ",id\r\n", ",id,shoe\r\n") }, badCSV},
		{"row removed from the CSV", func(f *forger) { f.remove(csv, 4) }, badCSV},
		{"last row removed from the CSV", func(f *forger) { f.remove(csv, 19) }, badCSV},
		{"row added to the CSV", func(f *forger) { f.files[csv] += "x\r\n" }, badCSV},
		{"rows of the CSV", func(f *forger) { f.entry(csv).Rows++ }, badCSV},
		{"CSV empty", func(f *forger) { f.files[csv] = "" }, badCSV},
		{"CSV not declared", func(f *forger) { f.m.Declared.Formats = []string{"ndjson"} }, in + csv + ": doesn't match the declared formats"},
		{"user", func(f *forger) { f.replace(users, "Sales", "Sails") }, badChanges},
		{"user, without the CSV", func(f *forger) { f.replace(users, "Sales", "Sails") }, badCSV},
		{"user, and the CSV", func(f *forger) { f.replace(users, "Sales", "Sails"); f.replace(csv, "Sales", "Sails") }, badChanges},
		{"user removed", func(f *forger) { f.remove(users, 4) }, in + users + ": it has 18 users, and the manifest has 19"},
		{"user removed, and the rows", func(f *forger) { f.remove(users, 4); f.entry(users).Rows-- }, badStatus},
		{"users by status", func(f *forger) { f.m.Resources["users"].ByStatus["ACTIVE"]++ }, badStatus},
		{"status without users", func(f *forger) { f.m.Resources["users"].ByStatus["STAGED"] = 0 }, badStatus},
		{"space in a user", func(f *forger) { f.replace(users, `"id":"00u0003"`, `"id": "00u0003"`) }, in + users + ": line 3 is not canonical JSON"},
		{"order of members", func(f *forger) {
			f.replace(users, `"department":"Sales","login":"p2@acme.example"`, `"login":"p2@acme.example","department":"Sales"`)
		}, in + users + ": line 2 is not canonical JSON"},
		{"order of users", func(f *forger) {
			f.lines(users, func(lines []string) []string { lines[7], lines[8] = lines[8], lines[7]; return lines })
		}, in + users + ": line 9: users are not in the order of their keys"},
		{"user twice", func(f *forger) {
			f.lines(users, func(lines []string) []string { return slices.Insert(lines, 3, lines[2]) })
		}, in + users + ": line 4: users are not in the order of their keys"},
		{"user without id", func(f *forger) { f.replace(users, `"id":"00u0001",`, "") }, in + users + ": line 1: a user without id"},
		{"line without a user", func(f *forger) { f.files[users] = "[]\n" + f.files[users] }, in + users + ": line 1 is not canonical JSON"},
		{"last line cut", func(f *forger) { f.files[users] = strings.TrimSuffix(f.files[users], "\n") }, in + users + ": it is cut short"},
		{"digest of the content", func(f *forger) { f.entry(users).ContentSHA256 = strings.Repeat("0", 64) }, in + users + ": the digest of its content is "},
		{"change", func(f *forger) { f.replace(changes, "Law", "Art") }, badChanges},
		{"change removed", func(f *forger) { f.remove(changes, 0); f.entry(changes).Rows-- }, badChanges},
		{"lines of the changes", func(f *forger) { f.entry(changes).Rows++ }, in + changes + ": it has "},
		{"counts of changes", func(f *forger) { f.count("users", func(c *snapshot.Counts) { c.Removed++; c.Kinds["deleted"]++ }) }, badCounts},
		{"kinds of changes", func(f *forger) {
			f.count("users", func(c *snapshot.Counts) { clear(c.Kinds); c.Kinds["moved"] = c.Added + c.Changed + c.Removed })
		}, badCounts},
		{"base", func(f *forger) { f.count("users", func(c *snapshot.Counts) { c.Base = "reset" }) }, impossible},
		{"rules of changes", func(f *forger) { f.m.Declared.Resources["users"].Changes.Ignore[0] = "status" }, badChanges},
		{"kinds without changes", func(f *forger) { f.m.Resources["users"].Kinds["moved"]++ }, impossible},
		{"negative duplicates", func(f *forger) { f.count("users", func(c *snapshot.Counts) { c.Duplicates--; c.Outside++ }) }, impossible},
		{"lines of the requests", func(f *forger) { f.entry("requests.ndjson").Rows++ }, in + "requests.ndjson: it has "},
		{"rows of requests", func(f *forger) { f.replace("requests.ndjson", `"rows":19`, `"rows":20`) }, in + "requests.ndjson: "},
		{"group", func(f *forger) { f.replace(groups, "Legal", "Regal") }, in + "groups.changes.ndjson: is not the difference from " + second},
		{"group, without the CSV", func(f *forger) { f.replace(groups, "Legal", "Regal") }, in + groupsCSV + ": doesn't match the groups of the snapshot"},
		{"group removed", func(f *forger) { f.remove(groups, 1) }, in + groups + ": it has 2 groups, and the manifest has 3"},
		{"counts of groups", func(f *forger) { f.count("groups", func(c *snapshot.Counts) { c.Added++; c.Kinds["created"]++ }) },
			in + "manifest.json: its counts of groups are not those of the difference from " + second},
		{"rows of groups", func(f *forger) { f.count("groups", func(c *snapshot.Counts) { c.Rows++ }) },
			in + "requests.ndjson: rows of groups in all responses: the manifest has 4, but 3 were counted"},
	} {
		testForgery(t, days, test.name, test.forge, test.want)
	}
}

// The first snapshot has no predecessor, so only its own files contradict it.
func TestVerifyFindsForgeriesOfTheFirstSnapshot(t *testing.T) {
	const in = "staff@20261123T060000Z/"
	const impossible = in + "manifest.json: resources: impossible counts of users"
	first := storetest.New(t)
	storetest.Publish(t, first, storetest.Day(1), storetest.People(5)...)
	users := func(change func(*snapshot.Counts)) func(*forger) {
		return func(f *forger) { f.count("users", change) }
	}
	rows := func(file string, rows int) func(*forger) { return func(f *forger) { f.entry(file).Rows = rows } }
	for _, test := range []struct {
		name  string
		forge func(f *forger)
		want  string
	}{
		{"nothing", func(*forger) {}, ""},
		{"added and removed users", users(func(c *snapshot.Counts) { c.Added, c.Removed = 5, -5 }), impossible},
		{"kinds", users(func(c *snapshot.Counts) { c.Kinds = map[diff.Kind]int{diff.Joined: 5} }), impossible},
		{"added users", users(func(c *snapshot.Counts) { c.Added, c.Kinds = 5, map[diff.Kind]int{diff.Joined: 5} }), impossible},
		{"duplicates", users(func(c *snapshot.Counts) { c.Duplicates, c.Outside = -5, 5 }), impossible},
		{"rows in all responses", users(func(c *snapshot.Counts) { c.Rows = 6 }),
			in + "requests.ndjson: rows of users in all responses: the manifest has 6, but 5 were counted"},
		{"rows of the records", rows("users.ndjson.zst", 6), in + "users.ndjson.zst: it has 5 users, and the manifest has 6"},
		{"rows of the CSV", rows("users.csv", 6), in + "users.csv: doesn't match the users of the snapshot"},
		{"rows of the requests", rows("requests.ndjson", 9), in + "requests.ndjson: it has "},
	} {
		testForgery(t, first, test.name, test.forge, test.want)
	}
}

// A manifest can't hide a resource by calling it unavailable, or change its base.
func TestVerifyFindsForgedUnavailability(t *testing.T) {
	const in = "staff@20261124T060000Z/"
	days := storetest.New(t)
	storetest.Publish(t, days, storetest.Day(1), storetest.Access(1)...)
	d := storetest.Draft(t, days, storetest.Day(2), storetest.Access(2)...)
	rules := d.Declared.Resources["app_groups"]
	rules.Optional = true
	d.Declared.Resources["app_groups"] = rules
	d.Resources[6] = snapshot.ResourceDraft{Resource: snapshot.AppGroups, Unavailable: "okta: 403 E0000006", Rows: 2, Outside: 2}
	w := storetest.Writer(t, days)
	_, err := w.Publish(t.Context(), d)
	storetest.Must(t, errors.Join(err, w.Close()))
	impossible := in + "manifest.json: resources: impossible counts of app_groups"
	for _, test := range []struct {
		name  string
		forge func(f *forger)
		want  string
	}{
		{"nothing", func(*forger) {}, ""},
		{"last snapshot", func(f *forger) { f.count("app_groups", func(c *snapshot.Counts) { c.Last = nil }) }, in + "manifest.json: doesn't name the last snapshot with app_groups"},
		{"reason", func(f *forger) { f.count("app_groups", func(c *snapshot.Counts) { c.Reason = "" }) }, impossible},
		{"total", func(f *forger) { f.count("app_groups", func(c *snapshot.Counts) { c.Total = 1 }) }, impossible},
		{"rows", func(f *forger) { f.count("app_groups", func(c *snapshot.Counts) { c.Rows, c.Outside = 1, 1 }) },
			in + "requests.ndjson: rows of app_groups in all responses: the manifest has 1, but 2 were counted"},
		{"not optional", func(f *forger) {
			declared := f.m.Declared.Resources["app_groups"]
			declared.Optional = false
			f.m.Declared.Resources["app_groups"] = declared
		}, in + "manifest.json: resources: app_groups are not available, and not optional"},
		{"available users called unavailable", func(f *forger) { f.count("users", func(c *snapshot.Counts) { c.Available, c.Reason = new(bool), "x" }) },
			in + "manifest.json: resources: "},
		{"reason of an available resource", func(f *forger) { f.count("users", func(c *snapshot.Counts) { c.Reason = "x" }) }, in + "manifest.json: resources: users are available"},
	} {
		testForgery(t, days, test.name, test.forge, test.want)
	}
}

// testForgery forges a copy of a store. want is the prefix of a problem; "": there is
// none.
func testForgery(t *testing.T, of *snapshot.Store, name string, change func(f *forger), want string) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		s := storetest.Copy(t, of.Dir(), t.TempDir())
		forge(t, s, change)
		problems, _ := storetest.Verify(t, s)
		if want == "" && len(problems) > 0 || want != "" && !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("found:\n\t%s\nwant:\n\t%s", strings.Join(problems, "\n\t"), want)
		}
	})
}

// The changes since a pruned snapshot can't be computed again, but the transcript has the
// proofs of the removals, and the records have the parents.
func TestVerifyFindsForgedChangesSinceAPrunedSnapshot(t *testing.T) {
	const changes, requests, line = "groups.changes.ndjson", "requests.ndjson", "staff@" + third + "/groups.changes.ndjson: line 1: "
	const edges, inEdges = "group_members.changes.ndjson", "staff@20261124T060000Z/group_members.changes.ndjson: line "
	days, access := storetest.ThreeDays(t), storetest.New(t)
	for i := range 2 {
		storetest.Publish(t, access, storetest.Day(i+1), storetest.Access(i+1)...)
	}
	storetest.MustPrune(t, days, 1)
	storetest.MustPrune(t, access, 1)
	type forgeries []struct {
		name  string
		forge func(f *forger)
		want  string
	}
	for _, test := range (forgeries{
		{"no edge", func(*forger) {}, ""},
		{"kind of a revoked edge", func(f *forger) {
			f.replace(edges, `"kind":"revoked"`, `"kind":"not_listed"`)
			f.count("group_members", func(c *snapshot.Counts) { c.Kinds["revoked"]--; c.Kinds["not_listed"]++ })
		}, inEdges + "1: a removal is not_listed, and its proof shows revoked"},
		{"proof of a deleted group", func(f *forger) { f.replace(requests, "/api/v1/groups/00g0003", "/api/v1/groups/00g0009") },
			inEdges + "3: the proof of a removal is not in " + requests},
		{"key of an edge", func(f *forger) {
			f.replace(edges, `"key":{"group_id":"00g0001","user_id":"00u0002"}`, `"key":{"group_id":"00g0001","user_id":"00u0001"}`)
		},
			inEdges + "1: the key or the name of a removal is not that of its record"},
	}) {
		testForgery(t, access, test.name, test.forge, test.want)
	}
	for _, test := range (forgeries{
		{"nothing", func(*forger) {}, ""},
		{"white space", func(f *forger) { f.replace(changes, `"op":"removed"`, `"op": "removed"`) }, line + "not a change in canonical form"},
		{"escaped op", func(f *forger) { f.replace(changes, `"op":"removed"`, `"op":"\u0072emoved"`) }, line + "not a change in canonical form"},
		{"unknown member", func(f *forger) { f.replace(changes, `{"after"`, `{"`+strings.Repeat("a", 1<<20)+`":1,"after"`) }, line + "not a change in canonical form"},
		{"unknown op", func(f *forger) { f.replace(changes, `"op":"removed"`, `"op":"vanished"`) }, line + `unknown op "vanished"`},
		{"kinds in the manifest", func(f *forger) {
			f.count("groups", func(c *snapshot.Counts) {
				c.Kinds["created"], c.Kinds["deleted"] = c.Kinds["deleted"]+1, c.Kinds["created"]-1
			})
		}, "staff@" + third + "/" + changes + ": "},
		{"request id", func(f *forger) { f.replace(changes, `"a3"`, `"a4"`) }, line + "the proof of a removal is not in " + requests},
		{"no proof", func(f *forger) {
			f.replace(changes, `"http_status":404,`, "")
			f.replace(changes, `"okta_status":"E0000007",`, "")
			f.replace(changes, `,"request_id":"a3"`, "")
		}, line + "the proof of a removal is not in " + requests},
		{"request of another group", func(f *forger) { f.replace(requests, "groups/00g0002", "groups/00g0009") }, line + "the proof of a removal is not in " + requests},
		{"kind", func(f *forger) {
			f.replace(changes, `"deleted"`, `"not_listed"`)
			f.count("groups", func(c *snapshot.Counts) { delete(c.Kinds, "deleted"); c.Kinds["not_listed"] = 1 })
		}, line + "a removal is not_listed, and its proof shows deleted"},
	}) {
		testForgery(t, days, test.name, test.forge, test.want)
	}
}

// Edges, the records of their ends, and their names agree.
func TestVerifyFindsForgedEdges(t *testing.T) {
	const (
		second     = "20261124T060000Z"
		in         = "staff@" + second + "/"
		members    = "group_members.ndjson.zst"
		csv        = "group_members.csv"
		changes    = "group_members.changes.ndjson"
		badCSV     = in + csv + ": doesn't match the group_members of the snapshot"
		badChanges = in + changes + ": is not the difference from "
	)
	days := storetest.New(t)
	storetest.Publish(t, days, storetest.Day(1), storetest.Access(1)...)
	d := storetest.Draft(t, days, storetest.Day(2), storetest.Access(2)...)
	d.Control = &snapshot.Control{Groups: &snapshot.GroupsControl{Compared: 2, Okta: 5, Counted: 4, Different: []snapshot.GroupTotal{{ID: "00g0001", Okta: 3, Counted: 2}}}}
	w := storetest.Writer(t, days)
	_, err := w.Publish(t.Context(), d)
	storetest.Must(t, errors.Join(err, w.Close()))
	for _, test := range []struct {
		name  string
		forge func(f *forger)
		want  string
	}{
		{"nothing", func(*forger) {}, ""},
		{"login in the CSV of members", func(f *forger) { f.replace(csv, "p3@", "p4@") }, badCSV},
		{"group in the CSV of members", func(f *forger) { f.replace(csv, "Everyone", "Anyone") }, badCSV},
		{"label in the CSV of app users", func(f *forger) { f.replace("app_users.csv", "Mail", "Wiki") },
			in + "app_users.csv: doesn't match the app_users of the snapshot"},
		{"login of a user, and the CSV of users", func(f *forger) { f.replace("users.ndjson.zst", "p3@", "q3@"); f.replace("users.csv", "p3@", "q3@") }, badCSV},
		{"name of a group, and the CSV of groups", func(f *forger) {
			f.replace("groups.ndjson.zst", "Everyone", "Anyone")
			f.replace("groups.csv", "Everyone", "Anyone")
		}, badCSV},
		{"unresolved edges", func(f *forger) { f.count("group_members", func(c *snapshot.Counts) { c.Unresolved-- }) },
			in + members + ": 1 of its group_members are unresolved, and the manifest has 0"},
		{"unresolved edges of a resource without edges", func(f *forger) { f.count("users", func(c *snapshot.Counts) { c.Unresolved = 1 }) },
			in + "manifest.json: resources: impossible counts of users"},
		{"edge of a missing group", func(f *forger) { f.replace(members, `"00g0002","user_id":"00u0003"`, `"00g0009","user_id":"00u0003"`) }, in + members + ": "},
		{"edge", func(f *forger) { f.replace(members, "00u0003", "00u0004") }, badChanges},
		{"order of edges", func(f *forger) {
			f.lines(members, func(lines []string) []string { lines[0], lines[1] = lines[1], lines[0]; return lines })
		}, in + members + ": line 2: group_members are not in the order of their keys"},
		{"kind of a revoked edge", func(f *forger) {
			f.replace(changes, "revoked", "not_listed")
			f.count("group_members", func(c *snapshot.Counts) { c.Kinds["revoked"]--; c.Kinds["not_listed"]++ })
		}, badChanges},
		{"proof of a deleted group", func(f *forger) { f.replace("requests.ndjson", "/api/v1/groups/00g0003", "/api/v1/groups/00g0009") },
			badChanges},
		{"control total of a group", func(f *forger) { f.m.Control.Groups.Different[0].Counted = 1 },
			in + members + ": the group 00g0001 has 2 members, and the control total has 1"},
		{"control total of all groups", func(f *forger) { f.m.Control.Groups.Counted = 3 }, in + "manifest.json: control: groups: impossible numbers"},
		{"groups not declared", func(f *forger) { delete(f.m.Resources, "groups"); delete(f.m.Declared.Resources, "groups") },
			in + "manifest.json: resources: group_members without groups"},
	} {
		testForgery(t, days, test.name, test.forge, test.want)
	}
}
