package storetest

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
)

// Incremental declares that the members of unchanged groups can be carried, and replaces
// the requests for members by one for each group that was read. read has their ids.
func Incremental(t testing.TB, d *snapshot.Draft, read ...string) {
	t.Helper()
	i := slices.IndexFunc(d.Resources, func(r snapshot.ResourceDraft) bool { return r.Resource == snapshot.GroupMembers })
	declared, members := d.Declared.Resources["group_members"], &d.Resources[i]
	declared.Refreshing = &snapshot.Refreshing{Refresh: snapshot.RefreshIncremental, Full: snapshot.Interval{Duration: 168 * time.Hour}}
	d.Declared.Resources["group_members"] = declared
	members.Stamp = func(string) string { return "2026-11-01T06:00:00.000Z" }
	members.Rows = 0
	requests, err := io.ReadAll(d.Requests)
	Must(t, err)
	var lines []byte
	for line := range bytes.Lines(requests) {
		if !bytes.Contains(line, []byte(`"resource":"group_members"`)) {
			lines = append(lines, line...)
		}
	}
	for n, group := range read {
		request := snapshot.Request{
			Resource: "group_members", Method: "GET", Path: "/api/v1/groups/" + group + "/users?limit=1000", Status: 200, RequestID: "a4",
			Time: snapshot.At(d.Started.Add(time.Duration(n) * time.Second)),
		}
		for _, r := range members.Records.(*recordtest.List).Records {
			if strings.HasPrefix(string(r.Key), group+"\x00") {
				request.Rows++
			}
		}
		members.Rows += request.Rows
		lines, err = request.Line(lines)
		Must(t, err)
	}
	d.Requests = bytes.NewReader(lines)
}
