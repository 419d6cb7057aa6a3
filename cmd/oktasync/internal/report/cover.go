package report

import "oktasync/cmd/oktasync/internal/document"

// cover returns the facts of the cover.
func cover(o *Options) ([]document.Fact, error) {
	var facts []document.Fact
	gaps, err := longGaps(o)
	if len(gaps) > 0 {
		facts = append(facts, document.Fact{Name: "Gaps", Text: gaps})
	}
	return facts, err
}
