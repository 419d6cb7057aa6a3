package oktaclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a page.
const (
	maxRecord  = 1 << 20 // bytes of one record's JSON
	maxRecords = 10_000
	maxMember  = 256 // bytes of an id, a status or a lastUpdated
)

// page is the content of a response. Its memory is reused for the next page.
type page struct {
	buf     []byte
	scanner scanner
	records []Record
	next    *url.URL // nil: the last page
}

// parse takes a page from the response to a request for at, and checks all of it. size is
// the most records of a page.
func (p *page) parse(a *attempt, at *url.URL, size int, hasStatus bool) (err error) {
	if err := checkJSON(a.resp.Header); err != nil {
		return err
	}
	if p.records, err = p.scanner.scan(a.body, hasStatus); err != nil {
		return err
	}
	if len(a.resp.Header.Values("Link")) == 0 && len(p.records) >= size {
		// Okta's lists always have a self link. If it is missing, a next link
		// may be missing too.
		return &rejection{class: "broken Link", err: errors.New("a full page without a Link header")}
	}
	if p.next, err = nextPage(a.resp.Header, at); err != nil {
		return &rejection{class: "broken Link", err: err}
	}
	if p.next != nil && !sameList(p.next, at) {
		return &rejection{class: "broken Link", err: errors.New("next link is of another list")}
	}
	a.request.Rows = len(p.records)
	return nil
}

// sameList reports whether two pages are of one list. Okta's next links repeat
// the query, but some omitted a part of it. Without its search, a list continues
// with other records.
func sameList(a, b *url.URL) bool {
	p, q := a.Query(), b.Query()
	return p.Get("search") == q.Get("search") && p.Get("filter") == q.Get("filter")
}

// parseRecord takes a single record from a response.
func parseRecord(a *attempt, hasStatus bool) (Record, error) {
	if err := checkJSON(a.resp.Header); err != nil {
		return Record{}, err
	}
	var s scanner
	records, err := s.scan(slices.Concat([]byte{'['}, a.body, []byte{']'}), hasStatus)
	if err == nil && len(records) != 1 {
		err = brokenJSON(0)
	}
	if err != nil {
		return Record{}, err
	}
	a.request.Rows = 1
	return records[0], nil
}

// checkJSON rejects a response of a proxy or of Okta's edge servers.
func checkJSON(h http.Header) error {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if kind != "application/json" {
		return &rejection{class: "not JSON", err: fmt.Errorf("response is not JSON but %q", word(kind))}
	}
	return nil
}

// scanner splits pages into records. It keeps its memory from page to page.
type scanner struct {
	decoder jsontext.Decoder
	reader  bytes.Buffer
	spans   []recordSpan
	text    []byte // ids, statuses and lastUpdated of all records
	records []Record
}

// recordSpan is the place of a record in a page, and the lengths of its members
// in scanner.text.
type recordSpan struct {
	start, end int64
	length     [len(members)]int
}

// members are the names of the members that the scanner extracts, in JSON.
var members = [...]string{`"id"`, `"status"`, `"lastUpdated"`}

// scan checks that body is a JSON array of records and returns them. Their JSON
// is part of body, and valid until the next scan. A record is an object with an
// id, with hasStatus a status, and perhaps a lastUpdated that can be null.
//
// An error contains no text of the page, which could be personal data.
func (s *scanner) scan(body []byte, hasStatus bool) ([]Record, error) {
	s.reader = *bytes.NewBuffer(body)
	s.decoder.Reset(&s.reader, jsontext.AllowDuplicateNames(true)) // canonicalization rejects those
	s.spans, s.text, s.records = s.spans[:0], s.text[:0], s.records[:0]
	d := &s.decoder
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, brokenJSON(d.InputOffset())
	}
	for d.PeekKind() == '{' {
		if len(s.spans) == maxRecords {
			return nil, tooLarge("a page of over %d records", maxRecords)
		}
		span, err := s.record(hasStatus)
		if err != nil {
			return nil, err
		}
		s.spans = append(s.spans, span)
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != ']' {
		return nil, brokenJSON(d.InputOffset())
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, brokenJSON(d.InputOffset())
	}
	text := string(s.text) // one allocation for all records
	for _, span := range s.spans {
		var fields [len(members)]string
		for i, n := range span.length {
			fields[i], text = text[:n], text[n:]
		}
		s.records = append(s.records, Record{ID: fields[0], Status: fields[1], LastUpdated: fields[2], JSON: body[span.start:span.end:span.end]})
	}
	return s.records, nil
}

// record reads one record and appends its members to s.text.
func (s *scanner) record(hasStatus bool) (recordSpan, error) {
	d := &s.decoder
	if _, err := d.ReadToken(); err != nil {
		return recordSpan{}, brokenJSON(d.InputOffset())
	}
	span := recordSpan{start: d.InputOffset() - 1}
	var values [len(members)]jsontext.Value
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return recordSpan{}, brokenJSON(d.InputOffset())
		}
		member := memberOf(name)
		value, err := d.ReadValue()
		if err != nil || member >= 0 && values[member] != nil {
			return recordSpan{}, brokenJSON(d.InputOffset())
		}
		if member >= 0 {
			values[member] = value
		}
	}
	if t, err := d.ReadToken(); err != nil || t.Kind() != '}' {
		return recordSpan{}, brokenJSON(d.InputOffset())
	}
	span.end = d.InputOffset()
	if span.end-span.start > maxRecord {
		return recordSpan{}, tooLarge("record %d of the page is over %d bytes", len(s.spans)+1, maxRecord)
	}
	for i, value := range values {
		before := len(s.text)
		if value.Kind() == '"' {
			s.text, _ = jsontext.AppendUnquote(s.text, value)
		}
		span.length[i] = len(s.text) - before
		if span.length[i] > maxMember {
			return recordSpan{}, tooLarge("member %s of record %d of the page is over %d bytes", members[i], len(s.spans)+1, maxMember)
		}
		optional := i == 2 && (value == nil || value.Kind() == 'n' || value.Kind() == '"') || i == 1 && !hasStatus
		if span.length[i] == 0 && !optional {
			return recordSpan{}, brokenJSON(span.start)
		}
	}
	return span, nil
}

// memberOf returns the index in members of a name in JSON, or -1.
func memberOf(name jsontext.Value) int {
	if bytes.IndexByte(name, '\\') >= 0 {
		unquoted, _ := jsontext.AppendUnquote(nil, name)
		name, _ = jsontext.AppendQuote(nil, unquoted)
	}
	return slices.Index(members[:], string(name))
}

// brokenJSON is the error for a page with wrong JSON at offset.
func brokenJSON(offset int64) error {
	return &rejection{class: "broken JSON", err: fmt.Errorf("broken JSON at byte %d", offset)}
}
