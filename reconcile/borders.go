package reconcile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// Above maxMoments records, only every second record is used, or every fourth,
// and so on. Borders from a sample are off by some records, so the ranges then
// have several pages, of which only the last isn't full.
const (
	maxMoments   = 1 << 20
	sampledPages = 20
)

// bordersOf returns moments of lastUpdated between two of which the snapshot has
// about perRange records.
func bordersOf(s *snapshot.Snapshot, r *snapshot.Resource, perRange int) (borders []time.Time, err error) {
	reader, err := s.Records(r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	moments, stride, err := moments(reader, min(s.Manifest.Resources[r.Name].Total, maxMoments))
	if err != nil {
		return nil, err
	}
	if stride > 1 {
		perRange = max(perRange*sampledPages/stride, 1)
	}
	return bordersAt(moments, perRange), nil
}

// moments returns the lastUpdated of every record, or of every stride-th, in
// milliseconds and in order. It skips records without lastUpdated.
func moments(records diff.Reader, size int) (at []int64, stride int, err error) {
	at, stride = make([]int64, 0, size), 1
	for n := 0; ; n++ {
		record, err := records.Next()
		if err == io.EOF {
			slices.Sort(at)
			return at, stride, nil
		} else if err != nil {
			return nil, 0, err
		}
		if n%stride > 0 {
			continue
		}
		if len(at) == maxMoments {
			for i := range len(at) / 2 {
				at[i] = at[2*i]
			}
			at, stride = at[:len(at)/2], 2*stride
		}
		if t, ok := lastUpdated(record.JSON); ok {
			at = append(at, t.UnixMilli())
		}
	}
}

// lastUpdated returns the lastUpdated of a record in canonical form. It searches
// for the text: a wrong result only makes a range longer or shorter.
func lastUpdated(record []byte) (time.Time, bool) {
	const before, layout = `"lastUpdated":"`, "2006-01-02T15:04:05.000Z"
	i := bytes.Index(record, []byte(before)) + len(before)
	if i < len(before) || i+len(layout) > len(record) {
		return time.Time{}, false
	}
	t, err := time.Parse(layout, string(record[i:i+len(layout)]))
	return t, err == nil
}

// bordersAt divides moments, which are in order, into ranges of at most perRange
// records, unless more records than that have the same moment.
func bordersAt(moments []int64, perRange int) (borders []time.Time) {
	for start := 0; start+perRange < len(moments); {
		end := start + perRange
		for end > start && moments[end-1] == moments[end] {
			end--
		}
		if end == start { // too many records with one moment
			for end = start + perRange; end < len(moments) && moments[end] == moments[start]; {
				end++
			}
			if end == len(moments) {
				break
			}
		}
		borders = append(borders, time.UnixMilli(moments[end]).UTC())
		start = end
	}
	return borders
}
