package sandbox

// Internals for tests.
var (
	JSONGet     = get
	JSONSet     = set
	JSONWithout = without
)

// JSONElements returns the elements of an array.
func JSONElements(value []byte) (all [][]byte) {
	for v := range elements(value) {
		all = append(all, v)
	}
	return all
}
