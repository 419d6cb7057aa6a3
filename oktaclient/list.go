package oktaclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
)

// Bounds of a list. Okta gives 200 users a page, so that a list of the most
// pages has twenty million users.
const (
	maxPages = 100_000
	maxEmpty = 10 // pages without users in a row, though each says that more follow
)

// list is one of Okta's lists while it is read, page by page along its next
// links. The next page is asked for as soon as a page's headers name it, so
// that it is on its way while the page is read and taken in; never more than
// one ahead.
type list struct {
	r *read
	listing

	// further, if not nil, is asked with the number of pages so far, by a page's
	// headers, whether to read the next one too.
	further func(pages int) bool
	tries   int // most tries of a page; 0: as configured

	pages   int             // taken in
	seen    map[string]bool // queries of these
	empty   int             // of these, the last ones in a row without users
	updated []string        // lastUpdated of the users of the newest few
}

// read reads the list; whole is whether that was all of it. Where Okta no
// longer takes a cursor of its own, the list is read once more from its
// beginning: the users come again, which a sink must take anyway.
func (l *list) read(ctx context.Context) (whole bool, err error) {
	first, err := l.r.c.org.Parse(l.path(l.r.query.Resource, l.r.size))
	if err != nil {
		return false, err
	}
	whole, err = l.readFrom(ctx, first)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "E0000029" && l.pages > 0 && ctx.Err() == nil {
		l.r.c.log.WarnContext(ctx, "cursor expired, list will be read again", "path", first.Path, "err", err)
		whole, err = l.readFrom(ctx, first)
	}
	return whole, err
}

func (l *list) readFrom(ctx context.Context, first *url.URL) (whole bool, err error) {
	l.seen, l.pages, l.empty, l.updated = map[string]bool{}, 0, 0, nil
	for at := first; at != nil && err == nil; {
		at, whole, err = l.follow(ctx, at)
	}
	return whole, err
}

// fetch is a page on its way.
type fetch struct {
	at     *url.URL
	number int // of the reading
	page   *page
	link   chan *url.URL // gets the next page to ask for, nil if none, as soon as that is known
	turn   chan struct{} // closed when all pages before are taken in
	done   chan struct{} // closed when the page, or err, is there
	answer *answer
	err    error
}

// follow takes in the pages from at on. It returns where to go on if a page
// that was tried again names another next page than the try before.
func (l *list) follow(ctx context.Context, at *url.URL) (resume *url.URL, whole bool, err error) {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fetches := make(chan *fetch)
	running.Go(func() { l.ask(ctx, &running, at, l.pages, fetches) })

	var next *url.URL
	before := l.pages
	for f := range fetches {
		if l.pages > before && (next == nil || *f.at != *next) {
			return next, next == nil, nil
		}
		close(f.turn)
		<-f.done
		if f.err == nil {
			next = f.page.next
			f.err = l.take(f)
		}
		if f.page != nil {
			l.r.c.memory.Put(f.page)
		}
		if f.err != nil {
			return nil, false, f.err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, false, context.Cause(ctx)
	}
	return nil, next == nil, nil
}

// ask starts fetches one after the other, each when the headers of the one
// before are in and that one's own turn has come.
func (l *list) ask(ctx context.Context, running *sync.WaitGroup, at *url.URL, pages int, fetches chan<- *fetch) {
	defer close(fetches)
	asked := map[string]bool{}
	for at != nil && !asked[at.RawQuery] {
		asked[at.RawQuery] = true
		pages++
		number := pages
		f := &fetch{at: at, number: l.r.nextPage(), link: make(chan *url.URL, 1), turn: make(chan struct{}), done: make(chan struct{})}
		further := func() bool { return l.further == nil || l.further(number) }
		running.Go(func() { l.fetch(ctx, f, further) })
		select {
		case fetches <- f:
		case <-ctx.Done():
			return
		}
		at = <-f.link
	}
}

// fetch reads one page.
func (l *list) fetch(ctx context.Context, f *fetch, further func() bool) {
	defer close(f.done)
	var once sync.Once
	known := func(next *url.URL) {
		once.Do(func() {
			if next != nil && !further() {
				next = nil
			}
			f.link <- next
		})
	}
	f.page = l.r.c.memory.Get().(*page)
	f.answer, f.err = l.r.c.send(ctx, &call{
		url: f.at, page: f.number, buf: f.page.buf, tries: l.tries,
		record: func(a *answer) error {
			select {
			case <-f.turn: // so that the transcript of a list is in its order
			case <-ctx.Done():
			}
			return l.r.record(a)
		},
		head: func(a *answer) {
			if next, err := nextPage(a.resp.Header, f.at); err == nil && next != nil {
				known(next)
			}
		},
		accept: func(a *answer) error { return f.page.parse(a, f.at, l.r) },
	})
	if f.err == nil {
		f.page.buf = f.answer.body
		known(f.page.next)
	}
	known(nil)
}

// take hands a page's users on and looks whether the list is in order.
func (l *list) take(f *fetch) error {
	if err := l.r.deliver(f.page.records, l.outside, f.answer); err != nil {
		return err
	}
	if l.pages%sampledPages == 0 {
		l.updated = l.updated[:0]
	}
	for _, u := range f.page.records {
		l.updated = append(l.updated, u.LastUpdated)
	}
	l.pages++
	l.r.paged(l)
	l.seen[f.at.RawQuery] = true
	if l.empty++; len(f.page.records) > 0 {
		l.empty = 0
	}
	next := f.page.next
	switch {
	case next == nil:
		return nil // the list's end
	case l.seen[next.RawQuery]:
		return l.broken(f, "list goes in a circle: its next link came before")
	case l.empty == maxEmpty:
		return l.broken(f, fmt.Sprintf("list does not end: %d pages without a record", maxEmpty))
	case l.pages == maxPages:
		return l.broken(f, fmt.Sprintf("list does not end: %d pages", maxPages))
	}
	return nil
}

// sampledPages is of how many pages a list remembers the lastUpdated.
const sampledPages = 16

// broken is an error about a list that is wrong as a whole, though each page
// could be read.
func (l *list) broken(f *fetch, what string) error {
	return &Error{RequestID: f.answer.request.RequestID, Path: l.r.query.Resource.Path, Page: f.number, Tries: 1,
		Err: &rejection{class: "endless", final: true, err: errors.New(what)}}
}
