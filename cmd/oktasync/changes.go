package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot/diff"
)

// changeList prints changes as text, up to maxShown of them.
type changeList struct {
	w     io.Writer
	zone  *time.Location // of Okta's times; nil: the list has no times
	count int
}

var opSigns = map[diff.Op]string{diff.OpAdded: "+", diff.OpChanged: "~", diff.OpRemoved: "-"}

func (l *changeList) add(c *diff.Change) error {
	if l.count++; l.count > maxShown {
		return nil
	}
	fmt.Fprintf(l.w, "  %s %-11s  %s%s\n", opSigns[c.Op], c.Kind, term.Safe(nameOf(c)), l.at(c))
	for _, path := range c.Paths {
		fmt.Fprintf(l.w, "      %s: %s -> %s\n", term.Safe(path), term.Safe(valueText(c.Before, path)), term.Safe(valueText(c.After, path)))
	}
	return nil
}

// nameOf returns the login or name of a changed record, or its ID.
func nameOf(c *diff.Change) string { return cmp.Or(c.Label(), c.ID()) }

// at returns the time that Okta gives for a change.
func (l *changeList) at(c *diff.Change) string {
	if l.zone == nil {
		return ""
	}
	at, err := time.Parse(time.RFC3339, c.At)
	if err != nil {
		return ""
	}
	return "  " + at.In(l.zone).Format(shortTime)
}

// end prints how many changes are not shown, and the command that shows them.
func (l *changeList) end(command string) {
	if l.count > maxShown {
		fmt.Fprintf(l.w, "  … and %d more; `%s` prints all\n", l.count-maxShown, command)
	}
}

// valueText returns the JSON value at a dotted path, or "none".
func valueText(object []byte, path string) string {
	value := json.RawMessage(object)
	for _, member := range strings.Split(path, ".") {
		var members map[string]json.RawMessage
		if json.Unmarshal(value, &members) != nil {
			return "none"
		}
		value = members[member]
	}
	if len(value) == 0 || string(value) == "null" {
		return "none"
	}
	return string(value)
}
