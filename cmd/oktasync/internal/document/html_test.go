package document_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"oktasync/cmd/oktasync/internal/document"
)

var (
	tag = regexp.MustCompile(`<[^>]*>`)
	// Parts of tags that depend on texts: the address of a row, and the width of a column.
	variable = regexp.MustCompile(`href="https://[^"]*"| class="(short|medium|long)"`)
)

// tags returns the tags of a document with text in each place.
func tags(t *testing.T, text string) []string {
	t.Helper()
	var b bytes.Buffer
	if err := document.WriteHTML(&b, everywhere(text)); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(b.String(), interpreted); i >= 0 {
		t.Errorf("%q: the file has a control character: %q", text, b.String()[i:i+1])
	}
	list := tag.FindAllString(strings.ReplaceAll(b.String(), "_<wbr>", "_"), -1)
	for i, tag := range list {
		list[i] = variable.ReplaceAllString(tag, "")
	}
	return list
}

func interpreted(r rune) bool {
	return unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r)
}

func FuzzHTMLHasNoMarkupOfTexts(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := tags(t, text), tags(t, "text"); !slices.Equal(got, want) {
			t.Errorf("%q changes the tags:\n%q\nwant\n%q", text, got, want)
		}
	})
}

func TestHTMLOfSections(t *testing.T) {
	missing := document.Section{ID: "missing", Title: "No manager", Missing: "profile.manager isn't recorded"}
	var b bytes.Buffer
	if err := document.WriteHTML(&b, &document.Document{Sections: []document.Section{section("two", "a", "b"), section("empty"), missing}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<a href="#two">Section two</a> <span>2 rows</span>`, `<caption>2 rows</caption>`,
		`<a href="#empty">Section empty</a> <span>none</span>`, `<p class="none">none</p>`,
		`<a href="#missing">No manager</a> <span>not computed</span>`, `<p class="missing">profile.manager isn&#39;t recorded</p>`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the file doesn't contain %s", want)
		}
	}
}
