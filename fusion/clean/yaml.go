package clean

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// specs has the kinds of rules in the order of the documentation.
var specs = []func() Spec{
	func() Spec { return new(Repair) },
	func() Spec { return new(Text) },
	func() Spec { return new(Range) },
	func() Spec { return new(Pattern) },
	func() Spec { return new(Allowed) },
	func() Spec { return new(Missing) },
	func() Spec { return new(Duplicates) },
	func() Spec { return new(Outliers) },
	func() Spec { return new(Normalize) },
	func() Spec { return new(Bots) },
}

// kinds returns the words for the kinds of rules.
func kinds() []string {
	out := make([]string, len(specs))
	for i, s := range specs {
		out[i] = s().kind()
	}
	return out
}

// UnmarshalYAML reads and checks a list of rules. Errors match ErrConfig and name rule, key and place.
func (c *Config) UnmarshalYAML(node ast.Node) error {
	c.Rules = nil
	if node == nil || node.Type() == ast.NullType {
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return fmt.Errorf("%w: %s: want a list of rules, such as - rule: duplicates", ErrConfig, position(node))
	}
	for i, item := range list.Values {
		r := Rule{at: position(item)}
		if err := r.unmarshal(item); err != nil {
			return r.fault(i, err)
		}
		c.Rules = append(c.Rules, r)
	}
	return c.Validate()
}

func position(node ast.Node) string {
	if t := node.GetToken(); t != nil && t.Position != nil {
		return fmt.Sprintf("line %d, column %d", t.Position.Line, t.Position.Column)
	}
	return ""
}

// unmarshal reads a rule.
func (r *Rule) unmarshal(node ast.Node) error {
	m, ok := node.(ast.MapNode)
	if !ok {
		return wrong("rule", "want keys and values, such as rule: duplicates")
	}
	r.keyAt = map[string]string{}
	values := map[string]ast.Node{}
	var order []string
	for it := m.MapRange(); it.Next(); {
		key := it.Key().GetToken().Value // without quotes, which true needs
		if r.at == "" || len(order) == 0 {
			r.at = position(it.Key())
		}
		if _, twice := values[key]; twice {
			return wrong(key, "is there twice")
		}
		values[key], r.keyAt[key] = it.Value(), position(it.Key())
		order = append(order, key)
	}
	var kind string
	if n := values["rule"]; n != nil {
		if err := decode(n, "rule", &kind); err != nil {
			return err
		}
	}
	for _, s := range specs {
		if s().kind() == kind {
			r.Spec = s()
		}
	}
	if r.Spec == nil {
		return oneOf("rule", kind, kinds()...)
	}
	fields := map[string]any{"rule": &kind, "name": &r.Name}
	known := []string{"rule", "name"}
	spec := reflect.ValueOf(r.Spec).Elem()
	for i := range spec.NumField() {
		key := spec.Type().Field(i).Tag.Get("yaml")
		fields[key] = spec.Field(i).Addr().Interface()
		known = append(known, key)
	}
	for _, key := range order {
		into, ok := fields[key]
		if !ok {
			return wrong(key, "is not a key of this rule; it has %s", strings.Join(known, ", "))
		}
		if err := decode(values[key], key, into); err != nil {
			return err
		}
	}
	return nil
}

// decode reads the value of a key.
func decode(node ast.Node, key string, into any) error {
	if node.Type() == ast.NullType {
		// YAML takes the word null for no value, which no action is.
		if word, ok := into.(*string); ok && key == "action" {
			*word = ActionNull
			return nil
		}
		return wrong(key, "has no value")
	}
	if p := reflect.ValueOf(into).Elem(); p.Kind() == reflect.Pointer {
		p.Set(reflect.New(p.Type().Elem()))
		into = p.Interface()
	}
	err := yaml.NodeToValue(node, into, yaml.Strict())
	if err == nil {
		return nil
	}
	text := err.Error()
	var typed yaml.Error
	if errors.As(err, &typed) {
		text = typed.GetMessage()
	}
	return wrong(key, "%s is no %s (%s)", strings.TrimSpace(node.String()), describe(reflect.TypeOf(into).Elem()), text)
}

// describe returns the words for what a key wants.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "list of " + describe(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "truth value (true, false)"
	case reflect.Float64:
		return "number"
	case reflect.Int:
		return "whole number"
	case reflect.Int64: // the only ones are durations
		return "duration, such as 2s"
	}
	return "value"
}
