package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
)

func (a *app) apiCommand() *cobra.Command {
	var (
		headers           []string
		paginate, include bool
	)
	cmd := &cobra.Command{
		Use:   "api PATH",
		Short: "Send an authenticated GET request to any endpoint",
		Long: `Sends a GET request for PATH to the org, with an access token, and prints the body
of the response. It has no other method: oktasync changes nothing.`,
		Example: `  oktasync api '/api/v1/users?limit=1'
  oktasync api /api/v1/groups --paginate`,
		Args: args(1, 1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			header, err := parseHeaders(headers)
			if err != nil {
				return err
			}
			return a.api(cmd.Context(), args[0], header, paginate, include)
		},
	}
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "another request header, `'Name: value'`")
	cmd.Flags().BoolVar(&paginate, "paginate", false, "follow every page")
	cmd.Flags().BoolVarP(&include, "include", "i", false, "print status and headers before each body")
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

func (a *app) api(ctx context.Context, path string, header http.Header, paginate, include bool) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("PATH %s: must begin with /, as in /api/v1/groups", term.Word(path))
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
	get := func(path string) (*http.Response, error) { return o.Client.Get(ctx, path, header) }
	show := func(resp *http.Response) error {
		pages++
		progress(pages)
		return a.printResponse(resp, include)
	}
	if paginate {
		return eachPage(path, get, show)
	}
	resp, err := get(path)
	if err != nil {
		return err
	}
	return show(resp)
}

const maxPages = 100_000

// eachPage calls show for path and every page after it.
func eachPage(path string, get func(string) (*http.Response, error), show func(*http.Response) error) error {
	seen := make(map[string]bool)
	for range maxPages {
		resp, err := get(path)
		if err != nil {
			return err
		}
		seen[resp.Request.URL.String()] = true
		next, err := oktaclient.NextPage(resp)
		if err := errors.Join(err, show(resp)); err != nil {
			return err
		}
		switch {
		case next == "":
			return nil
		case seen[next]:
			return fmt.Errorf("list has a loop after %d pages: its next link is an earlier page", len(seen))
		}
		path = next
	}
	return fmt.Errorf("list does not end: %d pages", maxPages)
}

func (a *app) printResponse(resp *http.Response, include bool) error {
	defer resp.Body.Close()
	out := a.stdout
	if include {
		fmt.Fprintf(out, "%s %s\n", resp.Proto, resp.Status)
		names := make([]string, 0, len(resp.Header))
		for name := range resp.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			for _, value := range resp.Header[name] {
				fmt.Fprintf(out, "%s: %s\n", name, value)
			}
		}
		fmt.Fprintln(out)
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	fmt.Fprintln(out)
	return nil
}
