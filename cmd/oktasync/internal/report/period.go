package report

import (
	"oktasync/cmd/oktasync/internal/document"
)

// changesOfPeriod returns the sections about what changed between o.From and o.Snapshot,
// or none without a period.
func changesOfPeriod(o *Options) ([]document.Section, error) {
	if o.From == nil {
		return nil, nil
	}
	p, err := newPeriod(o)
	if err != nil {
		return nil, err
	}
	users, err := newUserEvents(p)
	if err != nil {
		return nil, err
	}
	closed, err := users.accountsClosed()
	if err != nil {
		return nil, err
	}
	return []document.Section{
		p.administratorChanges(), closed, users.joiners(), users.movers(), users.managerChanges(), p.accessChanges(),
	}, nil
}

// readsOfPeriod returns the sections about the reads and declarations of the period, or
// none without a period.
func readsOfPeriod(o *Options) ([]document.Section, error) {
	if o.From == nil {
		return nil, nil
	}
	p, err := newPeriod(o)
	if err != nil {
		return nil, err
	}
	r, err := newReads(o)
	if err != nil {
		return nil, err
	}
	declarations, err := p.declarations(r)
	return []document.Section{r.section(), declarations}, err
}

// longGaps returns a sentence for each time of the period with more than two due reads of
// which none was published or unchanged.
func longGaps(o *Options) (text []string, err error) {
	if o.From == nil {
		return nil, nil
	}
	r, err := newReads(o)
	if err != nil {
		return nil, err
	}
	for _, a := range r.long {
		text = append(text, "No read was published or unchanged "+r.text(a)+".")
	}
	return text, nil
}
