package pipeline_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/pipeline"
)

// docMapping is a mapping that stands in a document.
type docMapping struct {
	file string
	line int
	text string
}

// block finds blocks of YAML in Markdown, and root a mapping in one: others show a part of it, or something else.
var (
	block = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	root  = regexp.MustCompile(`(?m)^sources:`)
)

// docMappings returns all complete mappings of the documents.
func docMappings(t *testing.T) []docMapping {
	t.Helper()
	files := []string{filepath.Join("..", "..", "README.md")}
	for _, pattern := range []string{"*.md", "*/*.md"} {
		more, err := filepath.Glob(filepath.Join("..", "..", "docs", pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	var out []docMapping
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range block.FindAllSubmatchIndex(data, -1) {
			if text := string(data[at[2]:at[3]]); root.MatchString(text) {
				out = append(out, docMapping{filepath.Base(file), 1 + strings.Count(string(data[:at[2]]), "\n"), text})
			}
		}
	}
	return out
}

// word finds what may be names of columns in expressions.
var word = regexp.MustCompile(`'[^']*'|[A-Za-z_]\w*`)

// headerOf returns the columns that a source reads.
func headerOf(m *fusion.Mapping) []string {
	columns := map[string]bool{}
	add := func(names ...string) {
		for _, name := range names {
			columns[name] = columns[name] || name != "" && name != fusion.None
		}
	}
	fields := map[string]bool{}
	expressions := []string{m.Where}
	for i := range m.Fields {
		f := &m.Fields[i]
		fields[f.Name] = true
		add(f.Column, f.CurrencyColumn)
		expressions = append(expressions, f.Expr)
	}
	for _, e := range expressions {
		for _, name := range word.FindAllString(e, -1) {
			if !fields[name] && !strings.HasPrefix(name, "'") {
				add(name)
			}
		}
	}
	c := m.Columns
	add(c.User, c.Item, c.Value, c.Time, c.Behavior, c.ID)
	add(slices.Collect(maps.Values(c.Context))...)
	delete(columns, "")
	return slices.Sorted(maps.Keys(columns))
}

// TestMappingsOfDocuments: every complete mapping that a document shows is one that kith takes, its expressions and columns among it.
func TestMappingsOfDocuments(t *testing.T) {
	t.Setenv("KITH_SECRET", "a secret for tests alone")
	all := docMappings(t)
	if n := len(slices.DeleteFunc(slices.Clone(all), func(d docMapping) bool { return d.file != "mapping.md" })); n < 2 || len(all) < 5 {
		t.Errorf("%d mappings in mapping.md, %d in all documents; their blocks are not found", n, len(all))
	}
	for _, d := range all {
		t.Run(fmt.Sprintf("%s:%d", d.file, d.line), func(t *testing.T) {
			dir := folder(t, map[string]string{"map.yaml": d.text})
			f, err := pipeline.Read(filepath.Join(dir, "map.yaml"), fusion.MappingOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pipeline.New(*f); err != nil {
				t.Error(err)
			}
			for i := range f.Sources {
				m := &f.Sources[i]
				if filepath.Ext(m.Path) != ".csv" || !m.Local() {
					continue
				}
				separator := m.Source.Separator
				if separator == "" {
					separator = ","
				}
				if err := os.WriteFile(m.Path, []byte(strings.Join(headerOf(m), separator)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				rows, err := fusion.Records(t.Context(), *m, nil)
				if err != nil {
					t.Error(err)
					continue
				}
				if err := rows.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestWhoIsWhoOfDocument runs the mapping of docs/mapping.md that says who is who, and finds what its text says.
func TestWhoIsWhoOfDocument(t *testing.T) {
	all := docMappings(t)
	i := slices.IndexFunc(all, func(d docMapping) bool { return d.file == "mapping.md" && strings.Contains(d.text, "logins") })
	if i < 0 {
		t.Fatal("there is no such mapping")
	}
	got := mustRun(t, folder(t, map[string]string{
		"map.yaml":     all[i].text,
		"log.csv":      "cookie,sku\nc1,A\nc2,B\n",
		"logins.csv":   "account,cookie,device\n17,c1,d1\n18,,d2\n",
		"crm.csv":      "id,mail,name,city,changed\n17,a@example.net,Ann,Bonn,2025-01-01\n18,b@example.net,Bert,Kiel,2025-01-01\n18,b@example.net,Bert,Ulm,2025-02-01\n",
		"own.csv":      "sku,title,brand,price,changed\nA,Desk lamp Aurora brass 40,Lux,10,2025-01-01\nB,Oak chair,Sit,20,2025-01-01\n",
		"supplier.csv": "ean,title,brand,price,changed\n400,Desk lamp Aurora brass 40,Lux,12,2025-02-01\n",
	}), pipeline.Options{})
	if len(got.events) != 2 || got.events[0].User != "17" || got.events[1].User != "cookie:c2" {
		t.Errorf("events %+v", got.events)
	}
	if city := attributes(got.profiles["18"]); !cmp.Equal(city, map[string]string{"city": "Ulm", "changed": "2025-02-01T00:00:00Z"}) {
		t.Errorf("18 is %v", city)
	}
	lamp := attributes(got.products["A"])
	if len(got.products) != 2 || lamp["price"] != "12" || lamp["brand"] != "Lux" {
		t.Errorf("%d products, lamp %v", len(got.products), lamp)
	}
}
