package verify_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

const first, second, third = "20261123T060000Z", "20261124T060000Z", "20261125T060000Z"

// A folder is the folder of an export, to tamper with. Names are relative to it.
type folder struct {
	testing.TB
	dir string
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) remove(name string) { storetest.RemoveAll(f, f.path(name)) }

func (f folder) write(name string) { storetest.Write(f, f.path(name), "text\n") }

func (f folder) mkdir(name string) { storetest.Must(f, os.Mkdir(f.path(name), 0o700)) }

func (f folder) copy(from, to string) { storetest.CopyFile(f, f.path(from), f.path(to)) }

// rename renames files; names are pairs.
func (f folder) rename(names ...string) {
	for pair := range slices.Chunk(names, 2) {
		storetest.Must(f, os.Rename(f.path(pair[0]), f.path(pair[1])))
	}
}

// link moves a file or folder out of the export, and links to it.
func (f folder) link(name string) {
	f.rename(name, "../.away")
	target, err := filepath.Rel(filepath.Dir(f.path(name)), f.path("../.away"))
	storetest.Must(f, err, os.Symlink(target, f.path(name)))
}

func (f folder) latest(target string) {
	f.remove("latest")
	storetest.Must(f, os.Symlink(target, f.path("latest")))
}

func (f folder) edit(name, from, to string) {
	storetest.Must(f, storetest.Edit(f.path(name), from, to))
}

func (f folder) cut(from, to int) {
	storetest.Must(f, storetest.CutLines(f.path("journal.ndjson"), from, to))
}

// A tampering is a change of an export, and the problems that Verify finds. A
// problem that ends with … is a prefix.
type tampering struct {
	name string
	do   func(f folder)
	want []string
}

// run runs each tampering with a copy of s. If exact, there are no other problems.
func run(t *testing.T, s *snapshot.Store, exact bool, tests []tampering) {
	storetest.CheckOK(t, s)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.Copy(t, s.Dir(), t.TempDir())
			test.do(folder{t, s.Path(staff)})
			problems, _ := storetest.Verify(t, s)
			for i, want := range test.want {
				if j := slices.IndexFunc(problems, func(p string) bool { return matches(p, want) }); j < 0 || exact && j != i {
					t.Errorf("found:\n\t%s\nwant:\n\t%s", strings.Join(problems, "\n\t"), want)
				}
			}
			if exact && len(problems) != len(test.want) {
				t.Errorf("found:\n\t%s\nwant:\n\t%s", strings.Join(problems, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

func matches(problem, want string) bool {
	prefix, open := strings.CutSuffix(want, "…")
	return problem == want || open && strings.HasPrefix(problem, prefix) && problem != prefix
}

func TestVerifyFindsTampering(t *testing.T) {
	const in2, in3 = "staff@" + second + "/", "staff@" + third + "/"
	run(t, storetest.ThreeDays(t), true, []tampering{
		{"file added", func(f folder) { f.write(second + "/notes") }, []string{in2 + "notes: is not listed in the manifest"}},
		{"file removed", func(f folder) { f.remove(second + "/users.csv") }, []string{in2 + "users.csv: is missing"}},
		{"groups removed", func(f folder) { f.remove(second + "/groups.ndjson.zst") }, []string{in2 + "groups.ndjson.zst: is missing"}},
		{"changes of groups edited", func(f folder) { f.edit(second+"/groups.changes.ndjson", "Field", "Filed") },
			[]string{in2 + "groups.changes.ndjson: its digest is …"}},
		{"file renamed", func(f folder) { f.rename(second+"/users.csv", second+"/people.csv") },
			[]string{in2 + "people.csv: is not listed in the manifest", in2 + "users.csv: is missing"}},
		{"file linked elsewhere", func(f folder) { f.link(second + "/users.csv") }, []string{in2 + "users.csv: is not a regular file"}},
		{"folder added to a snapshot", func(f folder) { f.mkdir(second + "/old") }, []string{in2 + "old: is not listed in the manifest"}},
		{"folder in the place of a file", func(f folder) { f.remove(second + "/requests.ndjson"); f.mkdir(second + "/requests.ndjson") },
			[]string{in2 + "requests.ndjson: is not a regular file"}},
		{"files swapped", func(f folder) {
			f.rename(second+"/users.csv", "../.x", third+"/users.csv", second+"/users.csv", "../.x", third+"/users.csv")
		}, []string{in2 + "users.csv: it has 1116 bytes, and the manifest has 1107 …", in3 + "users.csv: it has 1107 bytes, and the manifest has 1116 …"}},
		{"snapshot linked elsewhere", func(f folder) { f.link(second) },
			[]string{"staff/" + second + ": is no part of an export", "staff@" + second + ": was published, and is missing"}},
		{"manifest removed", func(f folder) { f.remove(second + "/manifest.json") }, []string{in2 + "manifest.json: is missing"}},
		{"snapshot cut from the middle", func(f folder) { f.remove(second) },
			[]string{"staff@" + second + ": was published, and is missing"}},
		{"snapshot cut from the end", func(f folder) { f.remove(third) },
			[]string{"staff@" + third + ": was published, and is missing"}},
		{"snapshot renamed", func(f folder) { f.rename(first, "20261123T070000Z") }, []string{
			"staff@20261123T070000Z/manifest.json: its manifest is that of staff@" + first,
			"staff@" + first + ": was published, and is missing"}},
		{"snapshots swapped", func(f folder) { f.rename(first, "x", second, first, "x", second) }, []string{
			"staff@" + first + "/manifest.json: its manifest is that of staff@" + second,
			in2 + "manifest.json: its manifest is that of staff@" + first}},
		{"folder added", func(f folder) { f.mkdir("old") }, []string{"staff/old: is no part of an export"}},
		{"file added to the store", func(f folder) { f.write("../notes.txt") }, []string{"notes.txt: is no part of a store"}},
		{"latest turned back", func(f folder) { f.latest(first) }, []string{`staff/latest: points to "` + first + `", and the newest is "` + third + `"`}},
		{"latest elsewhere", func(f folder) { f.latest("../../" + third) },
			[]string{`staff/latest: points to "../../` + third + `", and the newest is "` + third + `"`}},
	})
}

func TestVerifyFindsTamperingWithTheJournal(t *testing.T) {
	const journal = "staff/journal.ndjson: "
	run(t, storetest.ThreeDays(t), false, []tampering{
		{"linked elsewhere", func(f folder) { f.link("journal.ndjson") }, []string{journal + "is not a regular file"}},
		{"line edited", func(f folder) { f.edit("journal.ndjson", `"ops"`, `"nob"`) }, []string{journal + "line 3 does not contain the digest of the line before it…"}},
		{"line cut from the middle", func(f folder) { f.cut(3, 4) }, []string{journal + "line 4 does not contain the digest of the line before it…"}},
		{"cut before the last snapshot", func(f folder) { f.cut(5, 6) }, []string{journal + "line 6 is not the one that the checkpoint covers"}},
		{"removed", func(f folder) { f.remove("journal.ndjson") }, []string{
			journal + "line 6 is not the one that the checkpoint covers",
			"staff@" + first + ": no covered line of the journal records that it was published"}},
		{"snapshot copied in", func(f folder) { storetest.CopyFolder(f, f.path(third), f.path("20261126T060000Z")) },
			[]string{"staff@20261126T060000Z/manifest.json: its manifest is that of staff@" + third}},
		{"checkpoint removed", func(f folder) { f.remove("checkpoint") }, []string{"staff/checkpoint: is missing"}},
		{"checkpoint with a negative size", func(f folder) { f.edit("checkpoint", `"bytes":`, `"bytes":-`) },
			[]string{"staff/checkpoint: the members of its checkpoint contradict each other"}},
		{"checkpoint edited", func(f folder) { f.edit("checkpoint", `"lines":6`, `"lines":4`) },
			[]string{journal + "line 4 is not the one that the checkpoint covers"}},
	})
}

func TestVerifyFindsFalseTombstones(t *testing.T) {
	const manifest, signature = "/manifest.json", "/manifest.json.sig"
	pruned := storetest.SignedDays(t, storetest.NewSigner(t))
	storetest.MustPrune(t, pruned, 1)
	run(t, pruned, false, []tampering{
		{"gone", func(f folder) { f.remove("pruned/" + first) },
			[]string{"staff/pruned/" + first + ": is missing, and the journal records that the snapshot was pruned"}},
		{"all gone", func(f folder) { f.remove("pruned") },
			[]string{"staff/pruned/" + second + ": is missing, and the journal records that the snapshot was pruned"}},
		{"manifest gone", func(f folder) { f.remove("pruned/" + first + manifest) }, []string{"staff/pruned/" + first + manifest + ": is missing"}},
		{"signature gone", func(f folder) { f.remove("pruned/" + first + signature) }, []string{"staff/pruned/" + first + signature + ": is missing"}},
		{"edited", func(f folder) { f.edit("pruned/"+second+manifest, `"total":2`, `"total":3`) },
			[]string{"staff@" + second + ": is not the snapshot that the journal records as published…"}},
		{"another's", func(f folder) { f.copy("pruned/"+first+manifest, "pruned/"+second+manifest) },
			[]string{"staff/pruned/" + second + manifest + ": is that of staff@" + first}},
		{"file added", func(f folder) { f.write("pruned/" + first + "/notes") },
			[]string{"staff/pruned/" + first + "/notes: is no part of a pruned snapshot"}},
		{"records added", func(f folder) { f.write("pruned/" + first + "/users.csv") },
			[]string{"staff/pruned/" + first + "/users.csv: is no part of a pruned snapshot"}},
		{"folder added", func(f folder) { f.write("pruned/old" + manifest) }, []string{"staff/pruned/old: is no part of an export"}},
		{"pruned by hand", func(f folder) {
			f.copy(third+manifest, "pruned/"+third+manifest)
			f.copy(third+signature, "pruned/"+third+signature)
			f.remove(third)
		}, []string{"staff/pruned/" + third + ": its records are missing, and no covered line of the journal records that it was pruned"}},
		{"snapshot back", func(f folder) {
			f.copy("pruned/"+first+manifest, first+manifest)
			f.copy("pruned/"+first+signature, first+signature)
		}, []string{"staff/pruned/" + first + ": is in two folders"}},
	})
}

func TestVerifyFindsFalseSignatures(t *testing.T) {
	const file, signature = third + "/manifest.json", third + "/manifest.json.sig"
	signer := storetest.NewSigner(t)
	other := storetest.SignedDays(t, storetest.NewSigner(t))
	run(t, storetest.SignedDays(t, signer), false, []tampering{
		{"missing", func(f folder) { f.remove(signature) }, []string{"staff@" + signature + ": is missing"}},
		{"another snapshot's", func(f folder) { f.copy(second+"/manifest.json.sig", signature) },
			[]string{"staff@" + signature + ": is not a signature of this content"}},
		{"foreign", func(f folder) { storetest.CopyFile(f, other.Path(staff, signature), f.path(signature)) },
			[]string{"staff@" + signature + ": is by SHA256:…"}},
		{"text", func(f folder) { f.write(signature) }, []string{"staff@" + signature + ": is not in the form…"}},
		{"unsigned successor", func(f folder) {
			f.remove(signature)
			f.edit(file, `"signed_by":"`+signer.Fingerprint()+`"`, `"signed_by":null`)
		}, []string{"staff@" + file + ": is not the one that the checkpoint covers…", "staff: snapshots from sequence 3 to 3 are not signed"}},
	})
}

// Verify doesn't read sparse files.
func TestVerifyEndlessFiles(t *testing.T) {
	s := storetest.New(t)
	snap := storetest.Publish(t, s, storetest.Day(1), storetest.People(3)...)
	storetest.Publish(t, s, storetest.Day(2), storetest.People(3)...)
	sums := snapshot.File{Name: "SHA256SUMS", Bytes: int64(len(storetest.Read(t, snap.Dir(), "SHA256SUMS")))}
	for _, file := range append(snap.Manifest.Files, sums) {
		path := filepath.Join(snap.Dir(), file.Name)
		if err := os.Truncate(path, 1<<33); err != nil {
			t.Skip("no sparse files here:", err)
		}
		want := "staff@" + first + "/" + file.Name + ": it has a hole (lseek SEEK_HOLE), and published files have none"
		if file.Name == "SHA256SUMS" {
			want = "staff@" + first + "/SHA256SUMS: doesn't match the manifest"
		}
		if problems, notes := storetest.Verify(t, s); !slices.Equal(problems, []string{want}) || len(notes) > 0 {
			t.Errorf("Verify: %q %q, want %q", problems, notes, want)
		}
		storetest.Must(t, os.Truncate(path, file.Bytes))
	}
}

// An emptied export is a note, because an interrupted first run leaves the same.
func TestVerifyEmptiedExport(t *testing.T) {
	s := storetest.New(t)
	storetest.Write(t, s.Path(staff, ".lock"), "")
	want := []string{"staff: has no checkpoint and is empty: its first run was interrupted, or everything was removed"}
	if problems, notes := storetest.Verify(t, s); len(problems) > 0 || !slices.Equal(notes, want) {
		t.Errorf("Verify: %q %q, want the note %q", problems, notes, want)
	}
}
