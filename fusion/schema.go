package fusion

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// MappingSchema returns the JSON schema (draft 2020-12) of mapping files, for editors. It is made of the structures that files are decoded
// into, so it knows what they know.
func MappingSchema() ([]byte, error) {
	s := schemaOf(reflect.TypeFor[mappingFile]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "kith mapping"
	s["description"] = "What kith reads, and what it means. See docs/mapping.md."
	s["required"] = []string{"sources"}
	out, err := json.MarshalIndent(s, "", "  ")
	return append(out, '\n'), err
}

// scalars are the types that a value of any text may have in YAML: 1 and true are fine names of columns.
var scalars = []string{"string", "number", "boolean"}

// schemaOf returns the schema of a type that document.decode fills.
func schemaOf(t reflect.Type) map[string]any {
	if t == reflect.TypeFor[ast.Node]() {
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(t.Elem())
		if types, ok := s["type"].([]string); ok {
			s["type"] = append(append([]string{}, types...), "null")
		}
		return s
	case reflect.Struct:
		return structureSchema(t)
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		if t.Implements(reflect.TypeFor[named]()) {
			return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
		}
		list := map[string]any{"type": "array", "items": schemaOf(t.Elem())}
		if t.Elem().Kind() == reflect.String {
			return map[string]any{"anyOf": []any{schemaOf(t.Elem()), list}}
		}
		return list
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": scalars}
}

func structureSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	var short map[string]any
	for i := range t.NumField() {
		f := t.Field(i)
		key, isShort, ok := keyOf(f)
		if !ok {
			continue
		}
		p := schemaOf(f.Type)
		if isShort {
			short = p
			p = schemaOf(f.Type)
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			setEnum(p, strings.FieldsFunc(enum, func(r rune) bool { return r == '|' || r == ',' && !strings.Contains(enum, "|") }))
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			p["description"] = doc
		}
		properties[key] = p
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if short != nil {
		return map[string]any{"anyOf": []any{short, s}}
	}
	return s
}

// setEnum bounds the values of a schema, or of the entries of its list. Values that YAML reads as truth values may stand without quotes.
func setEnum(s map[string]any, values []string) {
	if forms, ok := s["anyOf"].([]any); ok {
		for _, form := range forms {
			form, _ := form.(map[string]any)
			if items, ok := form["items"].(map[string]any); ok {
				form = items
			}
			setEnum(form, values)
		}
		return
	}
	var all []any
	for _, v := range values {
		all = append(all, v)
		switch v {
		case "true":
			all = append(all, true)
		case "false":
			all = append(all, false)
		case "null":
			all = append(all, nil)
			if types, ok := s["type"].([]string); ok {
				s["type"] = append(append([]string{}, types...), "null")
			}
		}
	}
	s["enum"] = all
}
