package fusion

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

var update = flag.Bool("update", false, "rewrite docs/map.schema.json")

// TestSchema holds that the schema in the documents is the one of the code.
func TestSchema(t *testing.T) {
	got, err := MappingSchema()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "docs", "map.schema.json")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not that of the code; go test ./fusion -run TestSchema -update rewrites it", path)
	}
}

// TestSchemaTakesExamples holds every example against the schema, and that what the reader of mappings refuses, it refuses as well.
func TestSchemaTakesExamples(t *testing.T) {
	data, err := MappingSchema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(schema, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, tt := range []struct {
		in string
		ok bool
	}{
		{"sources: [{path: a, columns: {user: 1}, header: true, quote: false, skip: 1}]", true},
		{"sources: [{path: a, fields: {user: u, item: {column: 2, values: {a: ~}, default: 1, on_error: null, normalize: lower}}}]\nrates: {EUR: 1.5}", true},
		{"sources: [{path: a, clean: [{any: [thing]}]}]", true},
		{"rates: {EUR: 1}", false},
		{"sources: [{pth: a}]", false},
		{"sources: [{path: a, kind: baskets}]", false},
		{"sources: [{path: a, skip: x}]", false},
		{"sources: {path: a}", false},
		{"sources: [{path: a, fields: {user: {colum: u}}}]", false},
		{"sources: [{path: a, fields: {user: {column: u, normalize: [shout]}}}]", false},
		{"sources: [{path: [a]}]", false},
	} {
		if err := fits(schema, []byte(tt.in)); (err == nil) != tt.ok {
			t.Errorf("%s: %v; want fit %t", tt.in, err, tt.ok)
		}
	}
}

// fits validates YAML by what our schemas use of JSON schema.
func fits(schema map[string]any, text []byte) error {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return err
	}
	data, err := json.Marshal(jsonOf(v))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	return validate(schema, v, "")
}

// jsonOf makes keys texts, as JSON has them.
func jsonOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = jsonOf(v[k])
		}
		return v
	case map[any]any:
		out := map[string]any{}
		for k := range v {
			out[fmt.Sprint(k)] = jsonOf(v[k])
		}
		return out
	case []any:
		for i := range v {
			v[i] = jsonOf(v[i])
		}
	}
	return v
}

func validate(schema map[string]any, v any, path string) error {
	if forms, ok := schema["anyOf"].([]any); ok {
		var err error
		for _, form := range forms {
			if err = validate(form.(map[string]any), v, path); err == nil {
				return nil
			}
		}
		return err
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s: %v is not among %v", path, v, enum)
	}
	if types := schema["type"]; types != nil {
		all, ok := types.([]any)
		if !ok {
			all = []any{types}
		}
		if !slices.Contains(all, any(typeName(v))) && !(typeName(v) == "integer" && slices.Contains(all, any("number"))) {
			return fmt.Errorf("%s: a %s where %v is wanted", path, typeName(v), all)
		}
	}
	required, _ := schema["required"].([]any)
	switch v := v.(type) {
	case map[string]any:
		for _, key := range required {
			if _, ok := v[key.(string)]; !ok {
				return fmt.Errorf("%s: %v is missing", path, key)
			}
		}
		properties, _ := schema["properties"].(map[string]any)
		for key, value := range v {
			p, ok := properties[key].(map[string]any)
			if !ok {
				if p, ok = schema["additionalProperties"].(map[string]any); !ok {
					if schema["additionalProperties"] == false {
						return fmt.Errorf("%s: unknown key %s", path, key)
					}
					continue
				}
			}
			if err := validate(p, value, path+"."+key); err != nil {
				return err
			}
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i := range v {
			if err := validate(items, v[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func typeName(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if x == float64(int64(x)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// TestFieldsAreDocumented holds that every key of a mapping file says in the schema what it is.
func TestFieldsAreDocumented(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[mappingFile](), reflect.TypeFor[mappingEntry](), reflect.TypeFor[mappingColumns](), reflect.TypeFor[Field]()} {
		for i := range typ.NumField() {
			if key, _, ok := keyOf(typ.Field(i)); ok && typ.Field(i).Tag.Get("doc") == "" {
				t.Errorf("%s of %s has no doc", key, typ.Name())
			}
		}
	}
}
