package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kith-io/kith/api/rest/route"
)

//go:embed frame.json
var frame []byte

const linesType = "application/x-ndjson"

// maxParameterDepth is how deep parameters of queries lead into messages.
const maxParameterDepth = 3

// object is a JSON object whose members keep their order: that of fields has a meaning to readers.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		value := json.NewEncoder(&b)
		value.SetEscapeHTML(false)
		if err := value.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// document is one under way.
type document struct {
	messages map[protoreflect.FullName]*protogen.Message
	enums    map[protoreflect.FullName]*protogen.Enum
	// needed are messages and enums that schemas refer to; some have theirs already.
	needed  []protoreflect.Descriptor
	schemas map[string]any
	paths   map[string]map[string]any
	// tags describe those services that have routes.
	tags map[string]object
	// examples of bodies by the id of their operation, until it has come.
	examples map[string]json.RawMessage
}

// generate makes the document of all services in files.
func generate(files []*protogen.File) ([]byte, error) {
	var whole map[string]json.RawMessage
	var parts struct {
		Paths      map[string]map[string]any
		Components map[string]map[string]any
		Tags       []string
		Examples   map[string]json.RawMessage
	}
	for _, v := range []any{&whole, &parts} {
		if err := json.Unmarshal(frame, v); err != nil {
			return nil, fmt.Errorf("frame.json: %w", err)
		}
	}
	d := &document{
		messages: map[protoreflect.FullName]*protogen.Message{}, enums: map[protoreflect.FullName]*protogen.Enum{},
		schemas: parts.Components["schemas"], paths: parts.Paths, examples: parts.Examples, tags: map[string]object{},
	}
	for _, f := range files {
		for _, m := range f.Messages {
			d.messages[m.Desc.FullName()] = m
		}
		for _, e := range f.Enums {
			d.enums[e.Desc.FullName()] = e
		}
	}
	for _, f := range files {
		for _, s := range f.Services {
			if err := d.service(s); err != nil {
				return nil, err
			}
		}
	}
	if err := d.describe(); err != nil {
		return nil, err
	}
	for id := range d.examples {
		return nil, fmt.Errorf("frame.json: there is no operation %s with a body for the example", id)
	}
	tags := make([]object, len(parts.Tags))
	for i, name := range parts.Tags {
		tags[i] = d.tags[name]
	}
	if len(tags) != len(d.tags) || slices.ContainsFunc(tags, func(o object) bool { return o == nil }) {
		return nil, fmt.Errorf("frame.json has the tags %v; want those of all %d services that have routes", parts.Tags, len(d.tags))
	}
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	err := out.Encode(object{
		{"openapi", whole["openapi"]},
		{"info", whole["info"]},
		{"security", whole["security"]},
		{"tags", tags},
		{"paths", d.paths},
		{"components", parts.Components},
	})
	return text.Bytes(), err
}

// tag is the name of a service for readers.
func tag(s *protogen.Service) string { return strings.TrimSuffix(s.GoName, "Service") }

func (d *document) service(s *protogen.Service) error {
	known := false
	for _, m := range s.Methods {
		routes, err := route.Of(m.Desc)
		if err != nil {
			return err
		}
		for i := range routes {
			if !known {
				known = true
				d.tags[tag(s)] = object{{"name", tag(s)}, {"description", sentence(s.GoName, prose(s.Comments.Leading))}}
			}
			r := &routes[i]
			id := m.GoName
			if i > 0 {
				id = fmt.Sprint(id, i+1)
			}
			if d.paths[r.Path] == nil {
				d.paths[r.Path] = map[string]any{}
			}
			verb := strings.ToLower(r.Verb)
			if d.paths[r.Path][verb] != nil {
				return fmt.Errorf("%s is there twice", r.Pattern())
			}
			d.paths[r.Path][verb] = d.operation(s, m, r, id)
		}
	}
	return nil
}

// operation describes a route.
func (d *document) operation(s *protogen.Service, m *protogen.Method, r *route.Route, id string) object {
	summary, description := titles(m.GoName, prose(m.Comments.Leading))
	o := object{{"operationId", id}, {"tags", []string{tag(s)}}, {"summary", summary}}
	if description != "" {
		o = append(o, member{"description", description})
	}
	parameters := []object{}
	for _, v := range r.Vars {
		parameters = append(parameters, d.parameter("path", v))
	}
	if r.Body != route.AllBody {
		parameters = append(parameters, d.queries(r, m.Desc.Input(), route.Field{})...)
	}
	if len(parameters) > 0 {
		o = append(o, member{"parameters", parameters})
	}
	if r.Body != "" {
		body := m.Desc.Input()
		if r.Body != route.AllBody {
			body = body.Fields().ByName(protoreflect.Name(r.Body)).Message()
		}
		content := object{{"schema", d.refer(body)}}
		if example, ok := d.examples[id]; ok {
			content = append(content, member{"example", example})
			delete(d.examples, id)
		}
		o = append(o, member{"requestBody", object{{"required", r.Verb != "POST"}, {"content", object{{"application/json", content}}}}})
	}
	schema := object{{"schema", d.refer(m.Desc.Output())}}
	content := object{{"application/json", schema}}
	if m.Desc.IsStreamingServer() {
		content = append(content, member{linesType, schema})
	}
	return append(o, member{"responses", object{
		{"200", object{{"description", d.comment(m.Desc.Output())}, {"content", content}}},
		{"default", object{{"$ref", "#/components/responses/Error"}}},
	}})
}

// queries are the parameters for what neither the path nor the body has.
func (d *document) queries(r *route.Route, message protoreflect.MessageDescriptor, up route.Field) (out []object) {
	for i := range message.Fields().Len() {
		fd := message.Fields().Get(i)
		f := route.Field{Name: string(fd.Name()), Way: append(slices.Clone(up.Way), fd)}
		if up.Name != "" {
			f.Name = up.Name + "." + f.Name
		}
		switch {
		case fd.IsMap() || fd.IsList() && fd.Message() != nil || r.InPath(f.Name) || f.Name == r.Body || excluded(r, fd):
		case fd.Message() == nil:
			out = append(out, d.parameter("query", f))
		case len(f.Way) < maxParameterDepth:
			out = append(out, d.queries(r, fd.Message(), f)...)
		}
	}
	return out
}

// excluded reports whether the path has a field that the field excludes.
func excluded(r *route.Route, fd protoreflect.FieldDescriptor) bool {
	one := fd.ContainingOneof()
	return one != nil && !one.IsSynthetic() && slices.ContainsFunc(r.Vars, func(v route.Field) bool { return v.Leaf().ContainingOneof() == one })
}

func (d *document) parameter(in string, f route.Field) object {
	leaf := f.Leaf()
	schema := d.value(leaf)
	if e := leaf.Enum(); e != nil {
		var names []string
		for i := range e.Values().Len() {
			if v := e.Values().Get(i); v.Number() != 0 {
				names = append(names, route.Short(v))
			}
		}
		schema = object{{"type", "string"}, {"enum", names}}
	}
	if leaf.IsList() {
		schema = object{{"type", "array"}, {"items", schema}}
	}
	name := f.Name
	if in == "path" {
		name = string(leaf.Name())
	}
	p := object{{"name", name}, {"in", in}, {"required", in == "path"}}
	if text := d.comment(leaf); text != "" {
		p = append(p, member{"description", text})
	}
	return append(p, member{"schema", schema})
}

// refer returns a reference to the schema of a message or an enum, which describe makes.
func (d *document) refer(to protoreflect.Descriptor) object {
	d.needed = append(d.needed, to)
	return object{{"$ref", "#/components/schemas/" + string(to.Name())}}
}

// describe makes the schemas that are referred to.
func (d *document) describe() error {
	made := map[protoreflect.FullName]bool{}
	for len(d.needed) > 0 {
		next := d.needed[0]
		d.needed = d.needed[1:]
		if made[next.FullName()] {
			continue
		}
		made[next.FullName()] = true
		name := string(next.Name())
		if d.schemas[name] != nil {
			return fmt.Errorf("two schemas are named %s; rename %s", name, next.FullName())
		}
		switch next := next.(type) {
		case protoreflect.EnumDescriptor:
			d.schemas[name] = d.enum(next)
		case protoreflect.MessageDescriptor:
			d.schemas[name] = d.message(next)
		}
	}
	return nil
}

func (d *document) enum(e protoreflect.EnumDescriptor) object {
	var names []string
	text := d.comment(e)
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		names = append(names, string(v.Name()))
		if about := d.comment(v); about != "" {
			text += " " + string(v.Name()) + ": " + about
		}
	}
	return object{{"type", "string"}, {"description", text}, {"enum", names}}
}

func (d *document) message(m protoreflect.MessageDescriptor) object {
	properties := object{}
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		var schema object
		switch {
		case fd.IsMap():
			schema = object{{"type", "object"}, {"additionalProperties", d.value(fd.MapValue())}}
		case fd.IsList():
			schema = object{{"type", "array"}, {"items", d.value(fd)}}
		default:
			schema = d.value(fd)
		}
		if text := strings.TrimSpace(d.comment(fd) + exclusion(fd)); text != "" {
			schema = append(schema, member{"description", text})
		}
		properties = append(properties, member{string(fd.Name()), schema})
	}
	return object{{"type", "object"}, {"description", d.comment(m)}, {"additionalProperties", false}, {"properties", properties}}
}

// value describes one value of a field, in the JSON of Protocol Buffers.
func (d *document) value(fd protoreflect.FieldDescriptor) object {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return d.refer(fd.Message())
	case protoreflect.EnumKind:
		return d.refer(fd.Enum())
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return object{{"type", "number"}}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return object{{"type", "integer"}, {"format", "int32"}}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return object{{"type", "integer"}, {"minimum", 0}, {"maximum", uint32(1<<32 - 1)}}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return object{{"type", "string"}, {"format", "int64"}}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return object{{"type", "string"}, {"format", "uint64"}}
	case protoreflect.BytesKind:
		return object{{"type", "string"}, {"contentEncoding", "base64"}}
	}
	return object{{"type", "string"}}
}

// exclusion says which fields a field excludes.
func exclusion(fd protoreflect.FieldDescriptor) string {
	one := fd.ContainingOneof()
	if one == nil || one.IsSynthetic() {
		return ""
	}
	var others []string
	for i := range one.Fields().Len() {
		if other := one.Fields().Get(i); other != fd {
			others = append(others, string(other.Name()))
		}
	}
	return " Excludes " + strings.Join(others, ", ") + "."
}

// comment returns the comment of a message, a field, an enum or one of its values.
func (d *document) comment(of protoreflect.Descriptor) string {
	switch of := of.(type) {
	case protoreflect.FieldDescriptor:
		if m := d.messages[of.Parent().FullName()]; m != nil {
			return prose(m.Fields[of.Index()].Comments.Leading)
		}
	case protoreflect.MessageDescriptor:
		if m := d.messages[of.FullName()]; m != nil {
			return prose(m.Comments.Leading)
		}
	case protoreflect.EnumDescriptor:
		if e := d.enums[of.FullName()]; e != nil {
			return prose(e.Comments.Leading)
		}
	case protoreflect.EnumValueDescriptor:
		if e := d.enums[of.Parent().FullName()]; e != nil {
			return prose(e.Values[of.Index()].Comments.Leading)
		}
	}
	return ""
}

// prose joins the lines of a comment.
func prose(c protogen.Comments) string {
	return strings.Join(strings.Fields(string(c)), " ")
}

// sentence leaves out the name that a comment begins with.
func sentence(name, comment string) string {
	comment = strings.TrimPrefix(comment, name+" ")
	if comment == "" {
		return ""
	}
	return strings.ToUpper(comment[:1]) + comment[1:]
}

// titles cuts the comment of a method into its first sentence and the rest.
func titles(name, comment string) (summary, description string) {
	summary, description, _ = strings.Cut(sentence(name, comment), ". ")
	return strings.TrimSuffix(summary, "."), description
}
