package document

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html"
	"io"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
)

//go:embed style.css
var style string

// WriteHTML writes d as an HTML file that needs no other file, and has no script.
func WriteHTML(w io.Writer, d *Document) error {
	if err := check(d); err != nil {
		return err
	}
	sizes := make([]size, len(d.Sections))
	for i := range d.Sections {
		var err error
		if sizes[i], err = measure(&d.Sections[i]); err != nil {
			return err
		}
	}
	p := &page{bufio.NewWriterSize(w, 64<<10)}
	p.head(d)
	p.contents(d, sizes)
	for i := range d.Sections {
		if err := p.section(&d.Sections[i], &sizes[i]); err != nil {
			return err
		}
	}
	p.put("</main>\n<footer>End of the report</footer>\n</body>\n</html>\n")
	return p.w.Flush() // the first error of all writes
}

// page writes the parts of an HTML file.
type page struct{ w *bufio.Writer }

func (p *page) put(markup ...string) {
	for _, m := range markup {
		p.w.WriteString(m)
	}
}

// text returns text as markup that shows each of its characters.
func text(s string) string { return html.EscapeString(term.Safe(s)) }

func (p *page) head(d *Document) {
	sum := sha256.Sum256([]byte(style))
	p.put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
		// The policy permits only this style: no script, no form, and no request.
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-`,
		base64.StdEncoding.EncodeToString(sum[:]), `'; base-uri 'none'; form-action 'none'">`, "\n",
		`<meta name="viewport" content="width=device-width, initial-scale=1">`, "\n",
		`<meta name="referrer" content="no-referrer">`, "\n",
		"<title>", text(d.Title), "</title>\n<style>", style, "</style>\n</head>\n<body>\n",
		`<a class="skip" href="#contents">Go to the contents</a>`, "\n",
		"<header>\n<h1>", text(d.Title), "</h1>\n</header>\n<main>\n",
		`<section class="cover" aria-labelledby="cover">`, "\n", `<h2 id="cover">About this report</h2>`, "\n<dl>\n")
	for _, fact := range d.Cover {
		p.put("<div><dt>", text(fact.Name), "</dt>")
		for _, paragraph := range fact.Text {
			p.put("<dd>", text(paragraph), "</dd>")
		}
		p.put("</div>\n")
	}
	p.put("</dl>\n</section>\n")
}

func (p *page) contents(d *Document, sizes []size) {
	p.put(`<nav aria-label="Contents">`, "\n", `<h2 id="contents">Contents</h2>`, "\n<ol>\n")
	for i, s := range d.Sections {
		p.put(`<li><a href="#`, s.ID, `">`, text(s.Title), "</a> <span>", s.number(sizes[i].rows), "</span></li>\n")
	}
	p.put("</ol>\n</nav>\n")
}

func (p *page) section(s *Section, m *size) error {
	p.put(`<section aria-labelledby="`, s.ID, `">`, "\n", `<h2 id="`, s.ID, `">`, text(s.Title), "</h2>\n")
	p.put(`<div class="method">`, "\n")
	for _, m := range slices.Concat(s.Method, s.Gaps) {
		p.put("<p>", text(m), "</p>\n")
	}
	p.put("</div>\n")
	switch {
	case s.Missing != "":
		p.put(`<p class="missing">`, text(s.Missing), "</p>\n")
	case m.rows == 0:
		p.put(`<p class="none">`, s.number(0), "</p>\n")
	default:
		if err := p.table(s, m); err != nil {
			return err
		}
	}
	p.put("</section>\n")
	return nil
}

// table writes the rows of a section.
func (p *page) table(s *Section, m *size) error {
	p.put(`<div class="rows" role="region" tabindex="0" aria-labelledby="`, s.ID, `">`, "\n<table>\n<caption>", s.number(m.rows), "</caption>\n<thead>\n<tr>")
	attributes := make([]string, len(s.Columns)) // of the cells
	for i, c := range s.Columns {
		attributes[i] = ` dir="auto"`
		switch width := max(m.widths[i], len(c.Name)); {
		case width <= 12:
			attributes[i] += ` class="short"`
		case width <= 24:
			attributes[i] += ` class="medium"`
		case width > 48:
			attributes[i] += ` class="long"`
		}
		name := strings.ReplaceAll(text(c.Name), "_", "_<wbr>") // a narrow column breaks there
		p.put(`<th scope="col"`, attributes[i], ">", name, "</th>")
	}
	p.put(`<th scope="col">`, KeyColumn, "</th></tr>\n</thead>\n<tbody>\n")
	written := 0
	for row, err := range s.Rows {
		if err != nil {
			return err
		}
		p.row(&row, attributes)
		written++
	}
	p.put("</tbody>\n</table>\n</div>\n")
	return s.compare(m.rows, written)
}

func (p *page) row(r *Row, attributes []string) {
	p.put("<tr>")
	for i, cell := range r.Cells {
		switch {
		case i > 0:
			p.put("<td", attributes[i], ">", text(cell), "</td>")
		case r.Link != "":
			p.put(`<th scope="row"`, attributes[i], `><a rel="noreferrer" href="`, text(r.Link), `">`, text(cmp.Or(cell, "(empty)")), "</a></th>")
		default:
			p.put(`<th scope="row"`, attributes[i], ">", text(cell), "</th>")
		}
	}
	p.put(`<td class="key">`, text(r.Key), "</td></tr>\n")
}
