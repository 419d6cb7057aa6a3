// Package term formats output for people: numbers and words in messages, text that is
// safe for a terminal, suggestions for misspelled words, and the status line.
//
// The commands and most packages below cmd/oktasync/internal use it. It imports no other package of this module.
// Start reading at [Safe] (safe.go), [Plural] (text.go) and [StatusLine].
package term
