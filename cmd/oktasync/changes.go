package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot/diff"
)

// changeList prints changes as text.
type changeList struct {
	w     io.Writer
	zone  *time.Location // of Okta's times; nil: the list has no times
	limit int            // how many changes are printed; 0: all
	count int
}

// shownOnTerminal is how many changes a list has on a terminal without --all.
const shownOnTerminal = 50

// allFlag adds --all to a command that prints changes.
func allFlag(cmd *cobra.Command, all *bool) {
	cmd.Flags().BoolVar(all, "all", false, "don't shorten the output on a terminal")
}

// limit returns the limit of a changeList.
func (a *app) limit(all bool) int {
	if all || !term.IsTerminal(a.stdout) {
		return 0
	}
	return shownOnTerminal
}

var opSigns = map[diff.Op]string{diff.OpAdded: "+", diff.OpChanged: "~", diff.OpRemoved: "-"}

func (l *changeList) add(c *diff.Change) error {
	if l.count++; l.short() > 0 {
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

// short returns how many changes were not printed.
func (l *changeList) short() int {
	if l.limit == 0 {
		return 0
	}
	return max(l.count-l.limit, 0)
}

// end prints how many changes were not printed.
func (l *changeList) end() {
	if n := l.short(); n > 0 {
		fmt.Fprintf(l.w, "  … and %d more; --all prints them\n", n)
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
