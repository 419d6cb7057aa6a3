package snapshot

// Canonical appends the canonical form of the JSON value src to dst: members
// in the order and strings with the escapes of RFC 8785, no white space, and
// the text of each number as it is. It is strict: a duplicate member, invalid
// UTF-8, an unpaired surrogate, anything after the value and more than
// MaxDepth levels are errors, and then dst is returned as it was.
func Canonical(dst, src []byte) ([]byte, error) { panic("soon") }

// MarshalCanonical returns v as JSON in the canonical form of RFC 8785
// itself, numbers included, with no line feed after it.
func MarshalCanonical(v any) ([]byte, error) { panic("soon") }
