package oktaclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/url"
	"sync"
)

// Bounds of a list. With 200 records per page, the largest list has 20 million.
const (
	maxPages      = 100_000
	maxEmptyPages = 10 // in a row, with a next link each
	sampledPages  = 16 // newest pages whose lastUpdated is kept in list.updated
)

// list reads one of Okta's lists page by page along its next links. It requests
// the next page as soon as the headers of a page contain its link. The body
// of that page can still be arriving. It is never more than one page ahead.
type list struct {
	r *read
	listing

	// nextWanted, if not nil, is called with the number of pages so far when the
	// headers of a page have arrived. It returns whether to read the next page.
	nextWanted func(pages int) bool
	size       int // most records per page
	tries      int // most tries of a slow page; 0: as configured

	pages   int             // passed to the sink
	seen    map[uint64]bool // hashes of their queries
	empty   int             // newest pages without a record
	updated []int64         // lastUpdated of records of the newest pages, in milliseconds; only with nextWanted
}

// read reads the list, and reports whether it read all of it. If Okta no longer
// accepts its own cursor, read starts once more at the first page. The sink then
// receives records twice.
func (l *list) read(ctx context.Context) (complete bool, err error) {
	l.size = cmp.Or(l.size, l.r.size)
	first, err := l.r.c.org.Parse(l.path(l.r.query, l.size))
	if err != nil {
		return false, err
	}
	complete, err = l.readFrom(ctx, first)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "E0000029" && l.pages > 0 && ctx.Err() == nil {
		l.r.c.log.WarnContext(ctx, "cursor expired, list will be read again", "path", first.Path, "err", err)
		complete, err = l.readFrom(ctx, first)
	}
	return complete, err
}

func (l *list) readFrom(ctx context.Context, first *url.URL) (complete bool, err error) {
	l.seen, l.pages, l.empty, l.updated = map[uint64]bool{}, 0, 0, nil
	if err := l.r.begin(l.parent); err != nil {
		return false, err
	}
	for at := first; at != nil && err == nil; {
		at, complete, err = l.follow(ctx, at)
	}
	return complete, err
}

// fetch is the request for a page.
type fetch struct {
	at      *url.URL
	number  int // of the page in the read, or in the list of the parent
	page    *page
	link    chan *url.URL // receives the next page to request, or nil; at the earliest with the headers
	prior   chan struct{} // closed when all earlier pages were passed to the sink
	done    chan struct{} // closed when page or err is set
	attempt *attempt
	err     error
}

// follow reads the pages from at on. If a retried page has another next link than
// the previous attempt, follow returns that link, and the caller continues there.
func (l *list) follow(ctx context.Context, at *url.URL) (resume *url.URL, complete bool, err error) {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fetches := make(chan *fetch)
	running.Go(func() { l.request(ctx, &running, at, l.pages, fetches) })

	var next *url.URL
	before := l.pages
	for f := range fetches {
		if l.pages > before && (next == nil || *f.at != *next) {
			return next, next == nil, nil
		}
		close(f.prior)
		<-f.done
		if f.err == nil {
			next = f.page.next
			f.err = l.take(f)
		}
		if f.page != nil {
			l.r.c.pages.Put(f.page)
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

// request starts the fetches of the pages in order. It starts a fetch when the
// headers of the previous page have arrived and follow has received its fetch.
func (l *list) request(ctx context.Context, running *sync.WaitGroup, at *url.URL, pages int, fetches chan<- *fetch) {
	defer close(fetches)
	for at != nil {
		pages++
		number := pages
		f := &fetch{at: at, number: number, link: make(chan *url.URL, 1), prior: make(chan struct{}), done: make(chan struct{})}
		if l.parent == "" {
			f.number = l.r.nextPage()
		}
		wanted := func() bool { return l.nextWanted == nil || l.nextWanted(number) }
		running.Go(func() { l.fetch(ctx, f, wanted) })
		select {
		case fetches <- f:
		case <-ctx.Done():
			return
		}
		at = <-f.link
	}
}

// fetch requests one page. nextWanted returns whether to read the next one.
func (l *list) fetch(ctx context.Context, f *fetch, nextWanted func() bool) {
	defer close(f.done)
	defer recoverPanic(&f.err)
	var once sync.Once
	setNext := func(next *url.URL) {
		once.Do(func() {
			if next != nil && !nextWanted() {
				next = nil
			}
			f.link <- next
		})
	}
	defer setNext(nil)
	if f.page, _ = l.r.c.pages.Get().(*page); f.page == nil {
		f.page = new(page)
	}
	f.attempt, f.err = l.r.c.send(ctx, &call{
		url: f.at, page: f.number, buf: f.page.buf, tries: l.tries,
		record: func(a *attempt) error {
			select {
			case <-f.prior: // the requests of a list are reported in order
			case <-ctx.Done():
			}
			return l.r.report(a)
		},
		head: func(a *attempt) {
			if next, err := nextPage(a.resp.Header, f.at); err == nil && next != nil {
				setNext(next)
			}
		},
		accept: func(a *attempt) error { return f.page.parse(a, f.at, l.size, l.r.query.Resource.hasStatus) },
	})
	if f.err == nil {
		f.page.buf = f.attempt.body
		setNext(f.page.next)
	}
}

// take passes the records of a page to the sink. It returns an error if the list
// doesn't end.
func (l *list) take(f *fetch) error {
	if err := l.r.deliver(l.listing, f.page.records, f.attempt); err != nil {
		return err
	}
	if l.pages%sampledPages == 0 {
		l.updated = l.updated[:0]
	}
	for _, record := range f.page.records {
		if l.nextWanted == nil || len(l.updated) >= sampledPages*l.size {
			break
		}
		if at, ok := milliseconds(record.LastUpdated); ok {
			l.updated = append(l.updated, at)
		}
	}
	l.pages++
	l.r.pageRead(l.pages)
	l.seen[maphash.String(l.r.seed, f.at.RawQuery)] = true
	if l.empty++; len(f.page.records) > 0 {
		l.empty = 0
	}
	next := f.page.next
	switch {
	case next == nil:
		return nil
	case l.seen[maphash.String(l.r.seed, next.RawQuery)]:
		return l.endless(f, "list does not end: its next link repeats an earlier one")
	case l.empty == maxEmptyPages:
		return l.endless(f, fmt.Sprintf("list does not end: %d pages without a record", maxEmptyPages))
	case l.pages == maxPages:
		return l.endless(f, fmt.Sprintf("list does not end: %d pages", maxPages))
	}
	return nil
}

// endless returns the error for a list that doesn't end.
func (l *list) endless(f *fetch, text string) error {
	return &Error{RequestID: f.attempt.request.RequestID, Path: f.at.EscapedPath(), Page: f.number, Tries: 1,
		Err: &rejection{class: "endless", final: true, err: errors.New(text)}}
}
