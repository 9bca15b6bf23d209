package synthetic

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestMappingFitsFiles checks the mapping against the headers and the values
// of the files that it names.
func TestMappingFitsFiles(t *testing.T) {
	m, _ := generate(t, DefaultConfig(200, 100, 5000, 1))
	var doc struct {
		Sources []struct {
			Name, Kind, Path, Format string
			Behaviors                map[string]string
			Columns, Fields          map[string]any // a column, what is to be done with one, or columns of the context
		}
	}
	if err := yaml.UnmarshalWithOptions(m[MappingFile].Bytes(), &doc, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if len(doc.Sources) != 3 {
		t.Fatalf("%d sources", len(doc.Sources))
	}
	for _, s := range doc.Sources {
		f, ok := m[s.Path]
		if !ok {
			t.Fatalf("source %s names a file %q that is not generated", s.Name, s.Path)
		}
		header, _, _ := strings.Cut(f.String(), "\n")
		columns := map[string]string{}
		for _, fields := range []map[string]any{s.Columns, s.Fields} {
			for field, from := range fields {
				switch from := from.(type) {
				case string:
					columns[field] = from
				case map[string]any:
					if field != "context" {
						from = map[string]any{field: from["column"]}
					}
					for field, column := range from {
						columns[field], _ = column.(string)
					}
				}
			}
		}
		for field, column := range columns {
			if !strings.Contains(","+header+",", ","+column+",") {
				t.Errorf("source %s takes the %s from column %q; the header is %s", s.Name, field, column, header)
			}
		}
		if s.Kind == "products" {
			continue
		}
		seen := map[string]bool{}
		for _, r := range m.rows(t, s.Path) {
			if b := r[columns["behavior"]]; known(b, s.Path == OrdersFile) {
				seen[b] = true
				if s.Behaviors[b] == "" {
					t.Fatalf("source %s does not map behavior %q", s.Name, b)
				}
			}
		}
		if len(seen) != len(s.Behaviors) {
			t.Errorf("source %s maps %v; the file has %v", s.Name, s.Behaviors, seen)
		}
	}
}
