package e2e

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A package can be read in one sitting: its files, functions and number of files besides
// tests are limited.
func TestFilesAndFunctionsAreShort(t *testing.T) {
	const maxLines, maxFunction, maxFiles = 400, 60, 25
	files := make(map[string]int)
	eachGoFile(t, func(folder, path string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		files[folder]++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		check(t, err)
		if n := fset.File(file.Pos()).LineCount(); n > maxLines {
			t.Errorf("%s has %d lines, at most %d are allowed", path, n, maxLines)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if n := fset.Position(d.End()).Line - fset.Position(d.Pos()).Line + 1; ok && n > maxFunction {
				t.Errorf("%s: %s has %d lines, at most %d are allowed", path, f.Name.Name, n, maxFunction)
			}
		}
	})
	for folder, n := range files {
		if n > maxFiles && (folder != "cmd/oktasync" || n > 32) { // with one file for each command
			t.Errorf("%s has %d files, at most %d are allowed", folder, n, maxFiles)
		}
	}
}

// mayDependUpwards contains the dependencies between two files of a package that close
// a cycle, with the reason for each.
var mayDependUpwards = map[string]string{
	"cmd/oktasync: demo.go -> main.go":                "the demo runs the other commands",
	"reconcile/snapshot: resource.go -> resources.go": "the list of all resources is beside their type",

	// The sandbox org generates its groups, members and assignments when they are first used.
	"oktaclient/sandbox: applications.go -> populate.go": "app users and app groups",
	"oktaclient/sandbox: groups.go -> populate.go":       "members",
	"oktaclient/sandbox: control.go -> groups.go":        "a new user is a member of the group Everyone",
	"oktaclient/sandbox: org.go -> groups.go":            "groups show the times of changes of their members late",
	"oktaclient/sandbox: list.go -> edges.go":            "a list of groups can have the numbers of their members",
}

// Within a package, files depend on each other in one direction. A file depends on the
// files that declare the types, functions, methods, fields, variables and constants that
// it uses.
//
// A failure shows a shortest cycle, one dependency per line:
//
//	plan.go -> read.go: Plan.read
//	read.go -> plan.go: Plan, Plan.Resources
//
// Remove one of these dependencies. Mostly, a declaration belongs into the other file or
// into a file below both: types and their basic methods below, the steps that use them
// above. Two small files can also be one. An exception needs a reason in mayDependUpwards.
func TestPackagesHaveNoCyclesOfFiles(t *testing.T) {
	unused := maps.Clone(mayDependUpwards)
	for _, p := range typedPackages(t) {
		uses := p.uses()
		for from, to := range uses {
			for file := range to {
				dependency := fmt.Sprintf("%s: %s -> %s", p.folder, from, file)
				if _, permitted := mayDependUpwards[dependency]; permitted {
					delete(to, file)
					delete(unused, dependency)
				}
			}
		}
		if cycle := shortestCycle(uses); cycle != nil {
			var text strings.Builder
			for i, from := range cycle {
				to := cycle[(i+1)%len(cycle)]
				fmt.Fprintf(&text, "\n\t%s -> %s: %s", from, to, strings.Join(slices.Sorted(maps.Keys(uses[from][to])), ", "))
			}
			t.Errorf("files of %s depend on each other in a cycle:%s", p.folder, text.String())
		}
	}
	for dependency := range unused {
		t.Errorf("mayDependUpwards has %s, which doesn't exist", dependency)
	}
}

// typedPackage is a package of this module without its tests.
type typedPackage struct {
	folder string
	fset   *token.FileSet
	files  []*ast.File
	types  *types.Package
	info   *types.Info
}

// typedPackages checks the types of the packages of this module, for this system. Their
// imports come from the build cache.
func typedPackages(t *testing.T) (packages []*typedPackage) {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}\t{{.Dir}}\t{{join .GoFiles \" \"}}", "../...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	check(t, err)
	exports := make(map[string]string)
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		path, dir, names := fields[0], fields[2], strings.Fields(fields[3])
		exports[path] = fields[1]
		folder, ours := strings.CutPrefix(path, module+"/")
		if !ours {
			continue
		}
		p := &typedPackage{folder: folder, fset: fset, info: &types.Info{Uses: make(map[*ast.Ident]types.Object)}}
		for _, name := range names {
			file, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
			check(t, err)
			p.files = append(p.files, file)
		}
		p.types, err = (&types.Config{Importer: imports}).Check(path, fset, p.files, p.info)
		check(t, err)
		packages = append(packages, p)
	}
	return packages
}

// uses returns the names that each file uses, by the file that declares them.
func (p *typedPackage) uses() map[string]map[string]map[string]bool {
	uses := make(map[string]map[string]map[string]bool)
	for id, object := range p.info.Uses {
		if object.Pkg() != p.types {
			continue
		}
		from, to := p.file(id.Pos()), p.file(object.Pos())
		if from == to {
			continue
		}
		if uses[from] == nil {
			uses[from] = make(map[string]map[string]bool)
		}
		if uses[from][to] == nil {
			uses[from][to] = make(map[string]bool)
		}
		uses[from][to][nameOf(object)] = true
	}
	return uses
}

func (p *typedPackage) file(at token.Pos) string { return filepath.Base(p.fset.File(at).Name()) }

// nameOf returns the name of an object: X, .X of a field, or T.X of a method.
func nameOf(object types.Object) string {
	switch object := object.(type) {
	case *types.Var:
		if object.IsField() {
			return "." + object.Name()
		}
	case *types.Func:
		if receiver := object.Signature().Recv(); receiver != nil {
			short := func(*types.Package) string { return "" }
			return strings.TrimPrefix(types.TypeString(receiver.Type(), short), "*") + "." + object.Name()
		}
	}
	return object.Name()
}

// shortestCycle returns the files of a shortest cycle, or nil if there is none.
func shortestCycle(uses map[string]map[string]map[string]bool) (shortest []string) {
	for _, start := range slices.Sorted(maps.Keys(uses)) {
		paths := [][]string{{start}}
		seen := make(map[string]bool)
		for len(paths) > 0 && (shortest == nil || len(paths[0]) < len(shortest)) {
			path := paths[0]
			paths = paths[1:]
			for _, to := range slices.Sorted(maps.Keys(uses[path[len(path)-1]])) {
				if to == start {
					shortest = path
					paths = nil
					break
				}
				if !seen[to] {
					seen[to] = true
					paths = append(paths, append(slices.Clip(path), to))
				}
			}
		}
	}
	return shortest
}
