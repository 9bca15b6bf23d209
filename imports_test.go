package kith_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/kith-io/kith"

// allowed is the table of imports between our packages, as ARCHITECTURE.md has it: who may import whom. "x/..." stands
// for x and all below it, "all" for every package. The most exact line counts.
var allowed = map[string][]string{
	"cmd/kith":           {"all"},
	"server":             {"api", "auth", "evaluate/trials", "model/kinds", "model/train", "audit", "certs", "coordinator", "node/...", "fusion", "similarity", "partition", "proto", "durable", "telemetry"},
	"server/clustertest": {"server", "node", "node/wire", "proto"},
	"capacity":           {"chart", "coordinator", "similarity", "partition", "source/synthetic"},
	"chart":              {},
	"api":                {"api/...", "coordinator", "experiment", "node/...", "catalog", "catalog/shelf", "fusion", "partition", "proto", "telemetry"},
	"api/reference":      {"node/wire"},
	"api/rest":           {"api/rest/route", "node/wire"},
	"api/rest/route":     {},
	"assist":             {"catalog", "model/text"},
	"audit":              {},
	"auth":               {"audit", "certs", "durable", "node/wire", "proto"},
	"catalog":            {},
	"certs":              {"durable"},
	"catalog/shelf":      {"catalog"},
	"client":             {"hedging", "proto"},
	"coordinator":        {"node/...", "model/...", "similarity", "catalog", "catalog/shelf", "erasure", "experiment", "fusion", "fusion/view", "hedging", "partition", "proto"},
	"backup":             {"node/store", "catalog", "fusion", "proto"},
	"doctor":             {"proto"},
	"node":               {"node/...", "model/...", "similarity", "catalog", "experiment", "fusion", "fusion/view", "partition", "proto", "durable"},
	"node/consensus":     {"durable"},
	"node/direct":        {"node/wire"},
	"node/gossip":        {"durable"},
	"node/store":         {"catalog", "fusion"},
	"node/artifact":      {"similarity", "durable"},
	"node/wire":          {"model", "similarity", "catalog", "experiment", "fusion", "fusion/view", "proto"},
	"node/worker":        {"model", "model/methods", "model/train", "catalog", "node/artifact", "node/wire", "similarity", "fusion", "partition", "proto"},
	"durable":            {},
	"source":             {},
	"source/checkpoint":  {"source", "durable"},
	"source/db":          {"source"},
	"source/db/dbtest":   {},
	"source/datatest":    {},
	"source/kafka":       {"source"},
	"source/object":      {"source"},
	"source/synthetic":   {},
	"fusion":             {"source", "fusion/record", "fusion/expression"},
	"fusion/record":      {},
	"fusion/clean":       {"fusion/record"},
	"fusion/view":        {"fusion"},
	"fusion/pipeline":    {"source", "catalog", "fusion", "fusion/clean", "fusion/identity", "fusion/record"},
	"fusion/identity":    {"fusion/record"},
	"fusion/expression":  {"fusion/record"},
	"fusion/infer":       {"source", "fusion"},
	"fusion/page":        {"chart", "fusion", "fusion/clean", "fusion/identity", "fusion/pipeline", "fusion/record"},
	"model/...":          {"model/...", "similarity", "fusion", "catalog"},
	"erasure":            {},
	"experiment":         {"fusion"},
	"hedging":            {},
	"evaluate":           {"model/...", "similarity", "fusion"},
	"evaluate/page":      {"chart", "evaluate"},
	"evaluate/trials":    {"evaluate", "node/wire", "proto"},
	"similarity":         {},
	"telemetry":          {"node/wire"},
	"partition":          {},
	"proto/kith/v1":      {},
	"scripts/drill":      {"backup", "node/wire", "partition", "proto"},
	"scripts/openapi":    {"api/rest/route"},
	"scripts/peer":       {},
	"scripts/trainer":    {"model/...", "similarity"},

	"scripts/bench-models": {"model/...", "similarity"},
}

// helpers are for tests: any test may import them, nothing else may.
var helpers = []string{"model/modeltest", "model/neural/neuraltest", "server/clustertest", "source/db/dbtest", "source/datatest"}

// testData makes data with a known truth and imports nothing of ours: any test may import it, others as the table says.
const testData = "source/synthetic"

// matches reports whether pkg is the package, or one of those, that a pattern of the table names.
func matches(pattern, pkg string) bool {
	if pattern == "all" || pattern == pkg || pattern == "proto" && pkg == "proto/kith/v1" {
		return true
	}
	root, tree := strings.CutSuffix(pattern, "/...")
	return tree && (pkg == root || strings.HasPrefix(pkg, root+"/"))
}

// line returns the line of the table for a package.
func line(pkg string) (imports []string, ok bool) {
	if imports, ok = allowed[pkg]; ok {
		return imports, true
	}
	for up := pkg; up != "."; up = path.Dir(up) {
		if imports, ok = allowed[up+"/..."]; ok {
			return imports, true
		}
	}
	return nil, false
}

// depends reports whether a package may depend on another, by way of others.
func depends(pkg, on string) bool {
	imports, _ := line(pkg)
	if slices.ContainsFunc(imports, func(p string) bool { return matches(p, on) }) {
		return true
	}
	for other := range allowed {
		other = strings.TrimSuffix(other, "/...")
		if other != pkg && slices.ContainsFunc(imports, func(p string) bool { return matches(p, other) }) && depends(other, on) {
			return true
		}
	}
	return false
}

// judge says what is wrong with an import, or "". A test of a package may import the package, the helpers, and all that
// the package may depend on.
func judge(pkg, imported string, test bool) string {
	imports, ok := line(pkg)
	if !ok {
		return "has no line in the table of imports"
	}
	if test && imported == testData {
		return ""
	}
	if slices.Contains(helpers, imported) && !slices.Contains(helpers, pkg) {
		if test {
			return ""
		}
		return "imports " + imported + ", which is for tests"
	}
	if slices.ContainsFunc(imports, func(p string) bool { return matches(p, imported) }) {
		return ""
	}
	if test && (imported == pkg || depends(pkg, imported)) {
		return ""
	}
	return fmt.Sprintf("imports %s; it may import %v", imported, imports)
}

// forGoFiles calls f for all Go files of the module, by slash path.
func forGoFiles(t *testing.T, f func(file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != ".":
			_, err := os.Stat(filepath.Join(file, "go.mod"))
			if name := d.Name(); err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
				return filepath.SkipDir
			}
		case strings.HasSuffix(file, ".go"):
			f(filepath.ToSlash(file))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImports(t *testing.T) {
	files := 0
	forGoFiles(t, func(file string) {
		files++
		pkg, test := path.Dir(file), strings.HasSuffix(file, "_test.go")
		if pkg == "." && test {
			return // checks of the tree as a whole
		}
		if _, ok := line(pkg); !ok {
			t.Errorf("%s: package %s has no line in the table of imports", file, pkg)
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			ours, ok := strings.CutPrefix(name, module+"/")
			if !ok {
				continue
			}
			if wrong := judge(pkg, ours, test); wrong != "" {
				t.Errorf("%s: package %s %s", file, pkg, wrong)
			}
		}
	})
	if files == 0 {
		t.Error("no Go files found")
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		test, fine    bool
	}{
		{"similarity", "fusion", false, false},
		{"similarity", "similarity", true, true},
		{"model/neighborhood", "model", false, true},
		{"model/neighborhood", "model/modeltest", true, true},
		{"model/neighborhood", "model/modeltest", false, false},
		{"model/modeltest", "model", false, true},
		{"modelstore", "model", false, false},
		{"node", "node/store", false, true},
		{"node/store", "node", false, false},
		{"node/wire", "proto/kith/v1", false, true},
		{"node", "coordinator", false, false},
		{"coordinator", "server/clustertest", true, true},
		{"coordinator", "server", true, false},
		{"server", "model/popularity", true, true},
		{"server", "model/popularity", false, false},
		{"partition", "similarity", true, false},
		{"fusion/clean", "source/synthetic", true, true},
		{"fusion/clean", "source/synthetic", false, false},
		{"cmd/kith", "evaluate", false, true},
		{"newcomer", "partition", false, false},
	} {
		if wrong := judge(c.pkg, c.imported, c.test); (wrong == "") != c.fine {
			t.Errorf("judge(%s, %s, test %t) = %q, want it to be fine: %t", c.pkg, c.imported, c.test, wrong, c.fine)
		}
	}
}

// TestArchitectureShowsTheTable compares the table with that of ARCHITECTURE.md.
func TestArchitectureShowsTheTable(t *testing.T) {
	doc, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]*\\|([^|]*)\\|$").FindAllStringSubmatch(string(doc), -1) {
		imports := strings.FieldsFunc(row[2], func(r rune) bool { return r == ',' || r == ' ' })
		if slices.Equal(imports, []string{"none"}) {
			imports = nil
		}
		slices.Sort(imports)
		shown[row[1]] = imports
	}
	for pkg, imports := range allowed {
		want := slices.Sorted(slices.Values(imports))
		if got, ok := shown[pkg]; !ok || !slices.Equal(got, want) {
			t.Errorf("ARCHITECTURE.md: %s may import %v (has a row: %t), want %v", pkg, got, ok, want)
		}
		delete(shown, pkg)
	}
	for pkg := range shown {
		t.Errorf("ARCHITECTURE.md: %s has a row, and no line in imports_test.go", pkg)
	}
}
