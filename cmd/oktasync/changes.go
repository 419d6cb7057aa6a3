package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// changeList prints changes for people, a line each, up to mostShown of them.
type changeList struct {
	w     io.Writer
	zone  *time.Location // of the times that Okta gives; nil: they are not shown
	count int
}

var opSigns = map[snapshot.Op]string{snapshot.OpAdded: "+", snapshot.OpChanged: "~", snapshot.OpRemoved: "-"}

func (l *changeList) add(c *snapshot.Change) error {
	if l.count++; l.count > mostShown {
		return nil
	}
	fmt.Fprintf(l.w, "  %s %-11s  %s%s\n", opSigns[c.Op], c.Kind, term.Safe(nameOf(c)), l.at(c))
	for _, path := range c.Paths {
		fmt.Fprintf(l.w, "      %s: %s -> %s\n", term.Safe(path), term.Safe(valueText(c.Before, path)), term.Safe(valueText(c.After, path)))
	}
	return nil
}

// nameOf is what people call whom c is about.
func nameOf(c *snapshot.Change) string { return cmp.Or(c.Login, c.ID) }

// at is when Okta says that c came about.
func (l *changeList) at(c *snapshot.Change) string {
	if l.zone == nil {
		return ""
	}
	at, err := time.Parse(time.RFC3339, c.At())
	if err != nil {
		return ""
	}
	return "  " + at.In(l.zone).Format(shortTime)
}

// end prints how many were left out, and who tells of them.
func (l *changeList) end(command string) {
	if l.count > mostShown {
		fmt.Fprintf(l.w, "  … and %d more; `%s` has them all\n", l.count-mostShown, command)
	}
}

// valueText is the JSON of what lies at a dotted path, or "none".
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
