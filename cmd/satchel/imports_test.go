package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "satchel"

// The tables below are the rules of who may import whom. They hold for files
// that are not tests, on every operating system.

// mayImport says which packages of this module each package may import. A new
// package needs a row.
var mayImport = map[string][]string{
	"oci":                   {},
	"oci/catalog":           {"oci"},
	"oci/catalog/database":  {"oci/catalog"},
	"oci/layers":            {"oci"},
	"oci/layout":            {"oci"},
	"oci/ocdir":             {"oci"},
	"oci/registry":          {"oci"},
	"oci/release":           {"oci", "oci/layers"},
	"oci/release/graph":     {},
	"oci/release/signature": {"oci"},
	"bundle":                {"oci"},
	"verify":                {"oci", "bundle"},
	"transfer":              {"oci", "oci/catalog", "oci/catalog/database", "oci/layers", "oci/release", "oci/release/signature", "bundle"},
	"transfer/exported":     {},
	"transfer/imageset":     {"oci", "oci/catalog"},
	"transfer/extract":      {"oci", "oci/layers", "oci/release"},
	"transfer/nodeconf":     {"oci", "transfer/exported"},
	"transfer/samples":      {"oci", "transfer/exported"},
	"transfer/site":         {"oci", "oci/release", "transfer/exported", "transfer/nodeconf", "transfer/samples"},
	"fixtures":              {"oci", "bundle"},
	"cmd/satchel":           inProgram,
	"cmd/demo":              append([]string{"fixtures"}, inProgram...),
}

// inProgram are the packages that cmd wires together.
var inProgram = []string{
	"oci", "oci/catalog", "oci/layout", "oci/ocdir", "oci/registry", "oci/release", "oci/release/graph", "oci/release/signature",
	"bundle", "verify", "transfer", "transfer/extract", "transfer/imageset", "transfer/nodeconf", "transfer/samples", "transfer/site",
}

// onlyImports lists all that some packages may import beside the standard
// library and mayImport.
var onlyImports = map[string][]string{
	"oci": {"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec"},
}

// onlyIn names the only packages, with what is below them, that may import a
// path or something below it.
var onlyIn = []struct {
	path     string
	packages []string
}{
	{"github.com/spf13/pflag", []string{"cmd/satchel"}},
	{"github.com/schollz/progressbar", []string{"cmd/satchel"}},
	{"github.com/containers/image", []string{"oci/registry"}},
	{"github.com/opencontainers/umoci", []string{"oci/layout"}},
	{"log", []string{"cmd"}},
	{"github.com/apex/log", []string{"cmd"}},
	{"github.com/sirupsen/logrus", []string{"cmd"}},
	{"C", nil},
}

// onlyInCmd are the names that only packages in cmd may use. init is one more.
var onlyInCmd = map[string][]string{
	"os":  {"Exit", "Stdout"},
	"fmt": {"Print", "Printf", "Println"},
}

// notInProgram are packages that must not get into the program by any way: they
// need cgo and hundreds of other packages.
var notInProgram = []string{
	"github.com/containers/image/v5/copy",
	"github.com/containers/image/v5/docker",
	"github.com/containers/image/v5/signature",
	"github.com/containers/image/v5/storage",
}

func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if name != root && (err == nil || base == "testdata" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir // as the go command does
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		files++
		directory, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, v := range violations(set, filepath.ToSlash(directory), file) {
			t.Error(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Error("no Go files were found")
	}
}

// violations lists what a file of a package does against the rules.
func violations(set *token.FileSet, pkg string, file *ast.File) []string {
	var found []string
	report := func(node ast.Node, what string) {
		found = append(found, set.Position(node.Pos()).String()+": package "+pkg+" must not "+what)
	}
	inCmd := within(pkg, "cmd")
	if _, known := mayImport[pkg]; !known {
		report(file.Name, "be without a row in the table mayImport")
	}
	guarded := make(map[string][]string) // by the name that the file gives the import
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if !importAllowed(pkg, imported) {
			report(spec, "import "+imported)
		}
		if names := onlyInCmd[imported]; names != nil && !inCmd {
			local := path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			if local == "." {
				report(spec, "import "+imported+" into its own names")
			}
			guarded[local] = names
		}
	}
	if inCmd {
		return found
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			if node.Recv == nil && node.Name.Name == "init" {
				report(node, "have a func init()")
			}
		case *ast.SelectorExpr:
			if x, ok := node.X.(*ast.Ident); ok && slices.Contains(guarded[x.Name], node.Sel.Name) {
				report(node, "use "+x.Name+"."+node.Sel.Name)
			}
		}
		return true
	})
	return found
}

func importAllowed(pkg, imported string) bool {
	if within(imported, module) {
		return slices.Contains(mayImport[pkg], strings.TrimPrefix(imported, module+"/"))
	}
	for _, rule := range onlyIn {
		if within(imported, rule.path) && !slices.ContainsFunc(rule.packages, func(p string) bool { return within(pkg, p) }) {
			return false
		}
	}
	others, limited := onlyImports[pkg]
	host, _, _ := strings.Cut(imported, "/")
	return !limited || !strings.Contains(host, ".") || // of the standard library
		slices.ContainsFunc(others, func(p string) bool { return within(imported, p) })
}

func within(p, parent string) bool {
	return p == parent || strings.HasPrefix(p, parent+"/")
}

// TestImportRules breaks each rule, and keeps some that look broken.
func TestImportRules(t *testing.T) {
	tests := []struct{ pkg, source, want string }{
		{"oci", `import _ "satchel/bundle"`, "import satchel/bundle"},
		{"oci", `import _ "golang.org/x/sync/errgroup"`, "import golang.org/x/sync/errgroup"},
		{"oci", `import (_ "io/fs"; _ "github.com/opencontainers/image-spec/specs-go/v1")`, ""},
		{"bundle", `import _ "satchel/oci/registry"`, "import satchel/oci/registry"},
		{"bundle", `import (_ "satchel/oci"; _ "github.com/klauspost/compress/zstd")`, ""},
		{"verify", `import _ "satchel/transfer"`, "import satchel/transfer"},
		{"transfer", `import _ "satchel/verify"`, "import satchel/verify"},
		{"transfer", `import _ "satchel/oci/layout"`, "import satchel/oci/layout"},
		{"oci/registry", `import _ "satchel/oci/layout"`, "import satchel/oci/layout"},
		{"oci/registry", `import _ "github.com/containers/image/v5/types"`, ""},
		{"oci/layout", `import _ "satchel/oci/registry"`, "import satchel/oci/registry"},
		{"oci/layout", `import _ "github.com/opencontainers/umoci/oci/cas/dir"`, ""},
		{"fixtures", `import _ "satchel/transfer"`, "import satchel/transfer"},
		{"cmd/satchel", `import _ "satchel/fixtures"`, "import satchel/fixtures"},
		{"cmd/satchel", `import (_ "satchel/oci/layout"; _ "github.com/spf13/pflag"; _ "log")`, ""},
		{"cmd/demo", `import _ "satchel/fixtures"`, ""},
		{"cmd/demo", `import _ "github.com/spf13/pflag"`, "import github.com/spf13/pflag"},
		{"transfer", `import _ "github.com/schollz/progressbar/v3"`, "import github.com/schollz/progressbar/v3"},
		{"transfer", `import _ "github.com/containers/image/v5/docker/reference"`, "import github.com/containers/image/v5/docker/reference"},
		{"bundle", `import _ "github.com/opencontainers/umoci/oci/cas"`, "import github.com/opencontainers/umoci/oci/cas"},
		{"transfer", `import _ "log"`, "import log"},
		{"transfer", `import _ "log/slog"`, "import log/slog"},
		{"oci/layout", `import _ "github.com/apex/log"`, "import github.com/apex/log"},
		{"oci/registry", `import _ "github.com/sirupsen/logrus"`, "import github.com/sirupsen/logrus"},
		{"cmd/satchel", `import "C"`, "import C"},
		{"transfer", `import "os"; func f() { os.Exit(1) }`, "use os.Exit"},
		{"transfer", `import x "os"; var out = x.Stdout`, "use x.Stdout"},
		{"transfer", `import . "os"; var out = Stdout`, "import os into its own names"},
		{"transfer", `import "fmt"; func f() { fmt.Println() }`, "use fmt.Println"},
		{"transfer", `import ("fmt"; "os"); var s = fmt.Sprint(os.Args)`, ""},
		{"cmd/satchel", `import "os"; func f() { os.Exit(1) }`, ""},
		{"verify", `func init() {}`, "have a func init()"},
		{"verify", `type t struct{}; func (t) init() {}`, ""},
		{"helpers", ``, "be without a row in the table mayImport"},
	}
	for _, test := range tests {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "x.go", "package x; "+test.source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		got := violations(set, test.pkg, file)
		switch {
		case test.want == "" && len(got) == 0:
		case test.want != "" && len(got) == 1 && strings.HasSuffix(got[0], "package "+test.pkg+" must not "+test.want):
		default:
			t.Errorf("%s: %s: got %q, want %q", test.pkg, test.source, got, test.want)
		}
	}
}

func TestProgramDependencies(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, cgo := range []string{"0", "1"} {
			command := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
			command.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED="+cgo)
			var stderr strings.Builder
			command.Stderr = &stderr
			output, err := command.Output()
			if err != nil {
				t.Fatalf("%s: %v: %s", command, err, stderr.String())
			}
			for _, pkg := range strings.Fields(string(output)) {
				if slices.Contains(notInProgram, pkg) {
					t.Errorf("%s, cgo %s: the program must not contain %s", system, cgo, pkg)
				}
			}
		}
	}
}
