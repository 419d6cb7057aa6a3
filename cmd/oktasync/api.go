package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
)

// apiRequest has the flags of api.
type apiRequest struct {
	path                     string
	header                   http.Header
	paginate, slurp, include bool
}

func (a *app) apiCommand() *cobra.Command {
	var headers []string
	var r apiRequest
	cmd := &cobra.Command{
		Use:   "api PATH",
		Short: "Send an authenticated GET request to any endpoint",
		Long: `Sends a GET request for PATH to the org, with an access token. It prints the body of
the response, also of an error response. Other methods aren't possible, because
oktasync changes nothing in Okta.

--paginate follows next links in the Link header and in the body, and prints each
page as its own JSON document. With --slurp, it prints one array of all pages.`,
		Example: `  oktasync api '/api/v1/users?limit=1'
  oktasync api /api/v1/groups --paginate --slurp`,
		Args: args(1, 1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.slurp && (!r.paginate || r.include) {
				return &usageError{"--slurp needs --paginate, and doesn't go with --include", cmd.CommandPath()}
			}
			r.path = args[0]
			if r.header, err = parseHeaders(headers); err != nil {
				return err
			}
			return a.api(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&headers, "header", "H", nil, "add the request header `'Name: value'`")
	f.BoolVar(&r.paginate, "paginate", false, "follow every page")
	f.BoolVar(&r.slurp, "slurp", false, "with --paginate: print one array of all pages")
	f.BoolVarP(&r.include, "include", "i", false, "print status and headers before each body")
	a.quietFlag(cmd)
	return cmd
}

// parseHeaders parses lines of `Name: value`. Errors only show names: a value may be
// a secret.
func parseHeaders(lines []string) (http.Header, error) {
	header := make(http.Header)
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.Trim(value, " \t")
		switch {
		case !ok || !headerName.MatchString(name):
			return nil, errors.New("-H needs 'Name: value'")
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, fmt.Errorf("-H %s: the value has a line break or another control character", name)
		case strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "DPoP"):
			return nil, fmt.Errorf("-H %s: oktasync sets this header", name)
		}
		header.Add(name, value)
	}
	return header, nil
}

// headerName is a field name (RFC 9110, section 5.1).
var headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$")

func (a *app) api(ctx context.Context, r apiRequest) error {
	if !strings.HasPrefix(r.path, "/") {
		return fmt.Errorf("PATH %s: must begin with /, as in /api/v1/groups", term.Word(r.path))
	}
	cfg, log, err := a.load()
	if err != nil {
		return err
	}
	o, err := org.Connect(cfg, toolVersion(), log)
	if err != nil {
		return err
	}
	progress, stop := a.showPages(o)
	defer stop()
	pages := 0
	get := func(path string) (page, error) {
		pages++
		progress(pages)
		return getPage(ctx, o.Client, path, r.header)
	}
	if !r.paginate {
		p, err := get(r.path)
		return errors.Join(err, p.print(a.stdout, r.include))
	}
	if !r.slurp {
		return eachPage(r.path, get, func(p page) error { return p.print(a.stdout, r.include) })
	}
	separator := "["
	err = eachPage(r.path, get, func(p page) error {
		if p.StatusCode/100 != 2 {
			return nil // the error describes it
		}
		_, err := fmt.Fprintf(a.stdout, "%s%s", separator, p.body)
		separator = ",\n"
		return err
	})
	if separator != "[" {
		fmt.Fprintln(a.stdout, "]")
	}
	return err
}

// page is a response with its body.
type page struct {
	*http.Response // nil: no response
	body           []byte
}

// getPage requests a page. For a status other than 2xx, it returns both the page and
// an error.
func getPage(ctx context.Context, c *oktaclient.Client, path string, header http.Header) (page, error) {
	resp, err := c.Get(ctx, path, header)
	if resp == nil {
		return page{}, err
	}
	defer resp.Body.Close()
	body, readErr := io.ReadAll(resp.Body)
	return page{resp, body}, errors.Join(err, readErr)
}

// next returns the URL of the next page, and "" after the last one. Some lists have
// it only in the body.
func (p page) next() (string, error) {
	next, err := oktaclient.NextPage(p.Response)
	if next != "" || err != nil {
		return next, err
	}
	var links struct {
		Links struct {
			Next struct{ Href string }
		} `json:"_links"`
	}
	if json.Unmarshal(p.body, &links) != nil {
		return "", nil // not an object
	}
	return links.Links.Next.Href, nil
}

const maxPages = 100_000

// eachPage calls show for path and every page after it.
func eachPage(path string, get func(string) (page, error), show func(page) error) error {
	seen := make(map[string]bool)
	for range maxPages {
		p, err := get(path)
		if p.Response == nil {
			return err
		}
		seen[p.Request.URL.String()] = true
		if err := errors.Join(err, show(p)); err != nil {
			return err
		}
		next, err := p.next()
		switch {
		case err != nil || next == "":
			return err
		case seen[next]:
			return fmt.Errorf("list has a loop after %d pages: its next link is an earlier page", len(seen))
		}
		path = next
	}
	return fmt.Errorf("list does not end: %d pages", maxPages)
}

// print prints the body, after status and headers if include is set.
func (p page) print(w io.Writer, include bool) error {
	if p.Response == nil {
		return nil
	}
	if include {
		fmt.Fprintf(w, "%s %s\n", p.Proto, p.Status)
		for _, name := range slices.Sorted(maps.Keys(p.Header)) {
			for _, value := range p.Header[name] {
				fmt.Fprintf(w, "%s: %s\n", name, value)
			}
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "%s\n", p.body)
	return err
}
