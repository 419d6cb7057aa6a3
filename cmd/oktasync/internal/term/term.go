// Package term writes for people: text for messages, text from elsewhere that is
// safe for a terminal, near misses, and the status line.
//
// Every package below cmd/oktasync uses it. It imports nothing of this module.
package term
