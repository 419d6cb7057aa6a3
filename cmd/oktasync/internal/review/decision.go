package review

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

type decisions struct {
	*Options
	results
	population population
	reviewers  reviewers
	revoked    *revoked
}

// A decision is a row about an item.
type decision struct {
	position
	item   item
	layout *layout
	cells  []string
}

func (d *decision) cell(column string) string {
	return strings.TrimSpace(d.layout.cell(d.cells, column))
}

func (c *decisions) problem(d *decision, kind, format string, args ...any) {
	c.find(d.position, kind, d.item.key, d.item.String(), fmt.Sprintf(format, args...))
}

// check reports what is wrong with a decision.
func (c *decisions) check(d *decision) {
	c.compareFacts(d)
	switch text := d.layout.decision(d.cells); text {
	case keep:
		c.Keep++
	case revoke:
		c.Revoke++
		c.revoked.add(d.item, Finding{File: d.file, Line: d.line, Key: d.item.key, Item: d.item.String()})
	case "":
		c.Undecided++
		c.problem(d, undecided, "has no decision")
		return
	default:
		c.Undecided++
		c.problem(d, undecided, "the decision %s is neither %s nor %s", short(text), keep, revoke)
		return
	}
	c.checkReviewer(d)
	c.checkTime(d)
}

// compareFacts compares the other cells with the snapshot. When a path was first seen
// depends on the changes files that are kept now, so it isn't compared.
func (c *decisions) compareFacts(d *decision) {
	p, ok := c.population.(*Population)
	if !ok {
		return // a file of Okta has only ids
	}
	var differences []string
	values := p.cells(d.item, c.Snapshot)
	for i, column := range p.columns() {
		switch column {
		case decisionColumn, commentColumn, decidedAtColumn, decidedByColumn, "first_seen", "absent_in":
			continue
		}
		cell, value := d.layout.cell(d.cells, column), strings.ReplaceAll(values[i], "\r\n", "\n") // as csv.Reader
		if cell != value && plain(cell) != value {
			differences = append(differences, fmt.Sprintf("%s is %s, and %s in the snapshot", column, short(cell), short(value)))
		}
	}
	if len(differences) > 0 {
		c.problem(d, altered, "%s", strings.Join(differences, "; "))
	}
}

func (c *decisions) checkReviewer(d *decision) {
	name := d.cell(decidedByColumn)
	if name == "" {
		c.problem(d, reviewerMissing, "%s is empty", decidedByColumn)
		return
	}
	r := c.reviewers[strings.ToLower(name)]
	if d.layout.decision(d.cells) == keep {
		r.Keep++
	} else {
		r.Revoke++
	}
	if len(r.Users) == 0 {
		c.problem(d, reviewerUnknown, "decided by %s: no user in the snapshot has this id, login or email address", short(name))
		return
	}
	if r.Status != active {
		c.problem(d, reviewerInactive, "decided by %s, whose status in the snapshot is %s", short(name), r.Status)
	}
	if _, self := slices.BinarySearch(r.Users, d.item.user); self {
		c.problem(d, selfReview, "decided by %s about their own access", short(name))
	}
}

// clockTolerance is the difference between two clocks that is accepted.
const clockTolerance = time.Minute

func (c *decisions) checkTime(d *decision) {
	text := d.cell(decidedAtColumn)
	if text == "" {
		c.problem(d, undated, "%s is empty", decidedAtColumn)
		return
	}
	m, err := parseMoment(text, c.Zone)
	if err != nil {
		c.problem(d, undated, "%s: %s %v", decidedAtColumn, short(text), err)
		return
	}
	if m.begin.After(c.Now.Add(clockTolerance)) {
		c.problem(d, future, "decided at %s, in the future", text)
	}
	if !c.Due.IsZero() && !m.begin.Before(c.Due) {
		c.problem(d, late, "decided at %s, after the due date", text)
	}
	if !m.end.After(c.Snapshot.Manifest.Read.Started.Time) {
		c.problem(d, early, "decided at %s, before the read of the snapshot began", text)
	}
}
