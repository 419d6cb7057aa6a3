// Package term formats output for people: numbers and words in messages, text that is
// safe for a terminal, suggestions for misspelled words, and the status line.
//
// Every package below cmd/oktasync uses it. It imports no other package of this module.
// Start reading at [Safe] (safe.go), [Plural] (text.go) and [StatusLine].
package term
