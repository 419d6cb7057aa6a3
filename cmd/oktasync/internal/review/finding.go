package review

import (
	"fmt"
	"time"

	"oktasync/reconcile/snapshot"
)

// Options select what Check compares.
type Options struct {
	Store    *snapshot.Store
	Snapshot *snapshot.Snapshot // that the decisions are about
	Files    []string           // CSV files; together they have the decisions about one population
	Headers  map[string]string  // headers of a file of Okta, by field
	Due      time.Time          // a decision from this time on is late; zero: none is
	Zone     *time.Location     // of times without a zone
	Now      time.Time          // a decision after it is in the future
}

// A Finding is a problem of a file, or the later state of a revoked item.
type Finding struct {
	Kind    string `json:"kind"`
	Note    bool   `json:"note"` // it is no problem
	File    string `json:"file"` // "" and 0: the item is in no file
	Line    int    `json:"line"`
	Key     string `json:"key"`
	Item    string `json:"item"` // for people; hostile if it is extra
	Problem string `json:"problem"`
}

func (f Finding) String() string {
	text := f.Kind + ": " + f.Item + ": " + f.Problem
	if f.File == "" {
		return text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, text)
}

// The kinds of findings.
const (
	missing          = "missing"           // an item of the population is in no file
	extra            = "extra"             // a row has no item in the population
	duplicate        = "duplicate"         // a row is about the same item as an earlier one
	altered          = "altered"           // a row differs from the snapshot
	undecided        = "undecided"         // a row has no decision
	reviewerMissing  = "reviewer_missing"  // no person is named
	reviewerUnknown  = "reviewer_unknown"  // the snapshot has no such user
	reviewerInactive = "reviewer_inactive" // the user isn't ACTIVE in the snapshot
	selfReview       = "self_review"       // the reviewer is the subject
	undated          = "undated"           // a decision has no time
	late             = "late"              // a decision was made after the due date
	early            = "early"             // a decision was made before the read of the snapshot
	future           = "future"            // a decision was made after the time of the check
	snapshotMissing  = "snapshot_missing"  // a later snapshot or its records are missing
	stillPresent     = "still_present"     // a revoked item is in all later snapshots
	grantedAgain     = "granted_again"     // a revoked item was gone, and is in a later snapshot
	gone             = "gone"              // note: a revoked item isn't in the newest snapshot
	pending          = "pending"           // note: there is no later snapshot
)

// A Summary contains the numbers of a check.
type Summary struct {
	Population string         `json:"population"`
	Items      int            `json:"items"`
	Keep       int            `json:"keep"`
	Revoke     int            `json:"revoke"`
	Undecided  int            `json:"undecided"`
	Problems   int            `json:"problems"`
	Notes      int            `json:"notes"`
	Kinds      map[string]int `json:"kinds"` // the findings
	Reviewers  []*Reviewer    `json:"reviewers"`
	Files      []File         `json:"-"`
}

// A File is a file that was checked.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"review_sha256"`
	Rows   int    `json:"rows"`
}

// A position is a row of a file.
type position struct {
	file string
	line int
}

// results collects the findings of a check.
type results struct {
	Summary
	report func(Finding)
}

func (r *results) add(f Finding) {
	r.Kinds[f.Kind]++
	if f.Note {
		r.Notes++
	} else {
		r.Problems++
	}
	r.report(f)
}

// find adds a problem of a row about an item.
func (r *results) find(p position, kind, key, item, problem string) {
	r.add(Finding{Kind: kind, File: p.file, Line: p.line, Key: key, Item: item, Problem: problem})
}
