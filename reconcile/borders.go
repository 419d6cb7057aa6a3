package reconcile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"oktasync/reconcile/snapshot"
)

// Of an org with more users than mostMoments every second is looked at, or every
// fourth and so on. Ranges drawn from a sample are off by some users, so they
// are made of several pages there, of which only the last is not full.
const (
	mostMoments  = 1 << 20
	sampledPages = 20
)

// bordersOf returns moments of lastUpdated between two of which the snapshot has
// about so many users.
func bordersOf(s *snapshot.Snapshot, users int) (borders []time.Time, err error) {
	reader, err := s.Users()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	moments, stride, err := moments(reader, min(s.Manifest.Resources.Users.Total, mostMoments))
	if err != nil {
		return nil, err
	}
	if stride > 1 {
		users = max(users*sampledPages/stride, 1)
	}
	return bordersAt(moments, users), nil
}

// moments returns the lastUpdated of every user, or of every so-manieth, in
// milliseconds and in order. A user whose lastUpdated was not kept has none.
func moments(users snapshot.UserReader, size int) (at []int64, stride int, err error) {
	at, stride = make([]int64, 0, size), 1
	for n := 0; ; n++ {
		user, err := users.Next()
		if err == io.EOF {
			slices.Sort(at)
			return at, stride, nil
		} else if err != nil {
			return nil, 0, err
		}
		if n%stride > 0 {
			continue
		}
		if len(at) == mostMoments {
			for i := range len(at) / 2 {
				at[i] = at[2*i]
			}
			at, stride = at[:len(at)/2], 2*stride
		}
		if t, ok := lastUpdated(user.JSON); ok {
			at = append(at, t.UnixMilli())
		}
	}
}

// lastUpdated finds a canonical user's lastUpdated, at a glance: a wrong one
// would make a range longer or shorter, and nothing else.
func lastUpdated(user []byte) (time.Time, bool) {
	const before, layout = `"lastUpdated":"`, "2006-01-02T15:04:05.000Z"
	i := bytes.Index(user, []byte(before)) + len(before)
	if i < len(before) || i+len(layout) > len(user) {
		return time.Time{}, false
	}
	t, err := time.Parse(layout, string(user[i:i+len(layout)]))
	return t, err == nil
}

// bordersAt cuts moments, which are in order, into ranges of at most users
// each, unless more of them than that are the same.
func bordersAt(moments []int64, users int) (borders []time.Time) {
	for start := 0; start+users < len(moments); {
		end := start + users
		for end > start && moments[end-1] == moments[end] {
			end--
		}
		if end == start { // too many of one moment
			for end = start + users; end < len(moments) && moments[end] == moments[start]; {
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
