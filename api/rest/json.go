package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// shape is how messages of a type become JSON: byte for byte as protojson has it with UseProtoNames and EmitDefaultValues, without its spaces. Protojson asks
// the descriptors and sorts the fields of each message, and takes eleven times as long (BenchmarkMarshal). A shape is made once for a type, and does not change.
type shape struct {
	fields []field // in the order of their declaration
	// foreign messages are handed to protojson: those of google.protobuf, some of which have a JSON of their own, and what proto3 does not have.
	foreign bool
	// pointer is the type of the pointers that messages of generated code are, and zero an empty struct. Without a type, or for messages that are not of it,
	// the fields are found by their descriptors.
	pointer reflect.Type
	zero    reflect.Value
}

// field is a field of a shape, or the values of a map.
type field struct {
	fd   protoreflect.FieldDescriptor
	kind protoreflect.Kind
	// name is the text before the value: a comma, the name in quotes and a colon.
	name string
	// optional is whether unset is written if the field is not set: nothing, or the name with an empty list or map. Of other fields the zero value is written.
	optional bool
	unset    string
	list     bool
	value    *field   // of the values of a map, nil if it is none
	of       *shape   // of messages
	names    []string // of the values of an enum by number, in quotes, as far as they are small; "" for those that are none
	place    *place   // in the struct of the shape, if that has a pointer
}

// maxNames bounds the names of an enum that are kept.
const maxNames = 256

// kindNull is that of google.protobuf.NullValue.
const kindNull protoreflect.Kind = 0

// newShape returns the shape of a type. Known has those of types that came before, and gets those that are made: messages may have others of their own type.
func newShape(md protoreflect.MessageDescriptor, known map[protoreflect.FullName]*shape) *shape {
	if s := known[md.FullName()]; s != nil {
		return s
	}
	s := &shape{foreign: md.Syntax() != protoreflect.Proto3 || md.FullName().Parent() == "google.protobuf"}
	known[md.FullName()] = s
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := newField(fd, known)
		switch {
		case fd.IsMap():
			f.optional, f.unset = true, f.name+"{}"
			f.value = newField(fd.MapValue(), known)
			s.foreign = s.foreign || fd.MapKey().Kind() != protoreflect.StringKind // others have an order of their own
		case fd.IsList():
			f.optional, f.unset = true, f.name+"[]"
		default:
			f.optional = fd.HasPresence()
		}
		s.fields = append(s.fields, *f)
	}
	s.locate(structOf(md))
	return s
}

// locate finds the places of all fields in the struct of messages, or leaves the shape without any.
func (s *shape) locate(t reflect.Type) {
	for i := range s.fields {
		if s.fields[i].place = placeOf(t, s.fields[i].fd); s.fields[i].place == nil {
			return
		}
	}
	if t != nil {
		s.pointer, s.zero = reflect.PointerTo(t), reflect.Zero(t)
	}
}

func newField(fd protoreflect.FieldDescriptor, known map[protoreflect.FullName]*shape) *field {
	f := &field{fd: fd, kind: fd.Kind(), name: `,"` + fd.TextName() + `":`, list: fd.IsList()}
	switch {
	case fd.IsMap():
	case fd.Message() != nil:
		f.of = newShape(fd.Message(), known)
	case fd.Enum() != nil && fd.Enum().FullName() == "google.protobuf.NullValue":
		f.kind = kindNull
	case fd.Enum() != nil:
		values := fd.Enum().Values()
		for i := range values.Len() {
			if n := int(values.Get(i).Number()); n >= 0 && n < maxNames {
				f.names = append(f.names, make([]string, max(0, n+1-len(f.names)))...)
				f.names[n] = `"` + string(values.ByNumber(protoreflect.EnumNumber(n)).Name()) + `"`
			}
		}
	}
	return f
}

// append appends the JSON of a message to b. An error is one of a text that is not UTF-8, or of protojson.
func (s *shape) append(b []byte, m protoreflect.Message) (_ []byte, err error) {
	if s.foreign {
		return appendForeign(b, m.Interface())
	}
	if s.pointer != nil {
		if p := reflect.ValueOf(m.Interface()); p.Type() == s.pointer {
			return s.appendStruct(b, p)
		}
	}
	begin := len(b)
	for i := range s.fields {
		f := &s.fields[i]
		if f.optional && !m.Has(f.fd) {
			b = append(b, f.unset...)
			continue
		}
		if b, err = f.append(append(b, f.name...), m.Get(f.fd)); err != nil {
			return b, err
		}
	}
	return closed(b, begin), nil
}

// closed makes an object of the fields that b has from begin on.
func closed(b []byte, begin int) []byte {
	if len(b) == begin {
		return append(b, "{}"...)
	}
	b[begin] = '{' // where a comma is
	return append(b, '}')
}

// appendStruct appends the JSON of the message that p, which is of s.pointer, points to. If it is nil the message is empty.
func (s *shape) appendStruct(b []byte, p reflect.Value) (_ []byte, err error) {
	of := s.zero
	if !p.IsNil() {
		of = p.Elem()
	}
	begin := len(b)
	for i := range s.fields {
		if b, err = s.fields[i].appendPlace(b, of.Field(s.fields[i].place.index)); err != nil {
			return b, err
		}
	}
	return closed(b, begin), nil
}

// appendPlace appends the name and the value of a field of a struct.
func (f *field) appendPlace(b []byte, at reflect.Value) (_ []byte, err error) {
	switch {
	case f.value != nil:
		if at.Len() == 0 {
			return append(b, f.unset...), nil
		}
		return f.appendGoMap(append(b, f.name...), at)
	case f.list:
		if at.Len() == 0 {
			return append(b, f.unset...), nil
		}
		b = append(b, f.name...)
		for i := range at.Len() {
			b = append(b, "[,"[min(i, 1)])
			if b, err = f.appendValue(b, at.Index(i)); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	case f.place.choice != nil:
		if at = f.place.chosen(at); !at.IsValid() {
			return append(b, f.unset...), nil
		}
	case f.optional && at.IsNil():
		return append(b, f.unset...), nil
	case f.optional && f.of == nil && at.Kind() == reflect.Pointer:
		at = at.Elem()
	}
	return f.appendValue(append(b, f.name...), at)
}

// appendValue appends a value of a field, a list or a map.
func (f *field) appendValue(b []byte, at reflect.Value) ([]byte, error) {
	if f.of != nil {
		if f.of.pointer != nil && !f.of.foreign {
			return f.of.appendStruct(b, at)
		}
		m, ok := at.Interface().(proto.Message)
		if !ok {
			return b, fmt.Errorf("field %s has a %v, which is not a message", f.fd.FullName(), at.Type())
		}
		return f.of.append(b, m.ProtoReflect())
	}
	return f.appendOne(b, valueOf(at, f.kind))
}

// appendGoMap appends a map in the order of its keys.
func (f *field) appendGoMap(b []byte, entries reflect.Value) (_ []byte, err error) {
	keys := entries.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	for i, key := range keys {
		b = append(b, "{,"[min(i, 1)])
		if b, err = f.appendText(b, key.String()); err != nil {
			return b, err
		}
		if b, err = f.value.appendValue(append(b, ':'), entries.MapIndex(key)); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendForeign appends what protojson makes of a message, without the spaces that it puts in at random.
func appendForeign(b []byte, m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return b, err
	}
	line := bytes.NewBuffer(b)
	err = json.Compact(line, text)
	return line.Bytes(), err
}

// append appends the value of a field: not an empty list or map.
func (f *field) append(b []byte, v protoreflect.Value) (_ []byte, err error) {
	switch {
	case f.value != nil:
		return f.appendMap(b, v.Map())
	case !f.list:
		return f.appendOne(b, v)
	}
	list := v.List()
	for i := range list.Len() {
		b = append(b, "[,"[min(i, 1)])
		if b, err = f.appendOne(b, list.Get(i)); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

// appendMap appends a map in the order of its keys.
func (f *field) appendMap(b []byte, entries protoreflect.Map) (_ []byte, err error) {
	keys := make([]protoreflect.MapKey, 0, entries.Len())
	entries.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, func(x, y protoreflect.MapKey) int { return strings.Compare(x.String(), y.String()) })
	for i, key := range keys {
		b = append(b, "{,"[min(i, 1)])
		if b, err = f.appendText(b, key.String()); err != nil {
			return b, err
		}
		if b, err = f.value.appendOne(append(b, ':'), entries.Get(key)); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendOne appends a value of a field, a list or a map.
func (f *field) appendOne(b []byte, v protoreflect.Value) ([]byte, error) {
	switch f.kind {
	case protoreflect.MessageKind:
		return f.of.append(b, v.Message())
	case protoreflect.StringKind:
		return f.appendText(b, v.String())
	case protoreflect.BytesKind:
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), v.Bytes()), '"'), nil
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool()), nil
	case protoreflect.EnumKind:
		if n := int(v.Enum()); n >= 0 && n < len(f.names) && f.names[n] != "" {
			return append(b, f.names[n]...), nil
		}
		value := f.fd.Enum().Values().ByNumber(v.Enum())
		if value == nil {
			return strconv.AppendInt(b, int64(v.Enum()), 10), nil
		}
		return append(append(append(b, '"'), value.Name()...), '"'), nil
	case kindNull:
		return append(b, "null"...), nil
	case protoreflect.FloatKind:
		return appendFloat(b, v.Float(), 32), nil
	case protoreflect.DoubleKind:
		return appendFloat(b, v.Float(), 64), nil
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return append(strconv.AppendInt(append(b, '"'), v.Int(), 10), '"'), nil
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return append(strconv.AppendUint(append(b, '"'), v.Uint(), 10), '"'), nil
	}
	return b, fmt.Errorf("field %s has kind %s, which has no JSON", f.fd.FullName(), f.kind)
}

// appendText appends a text in quotes. What need not be escaped is not: neither <, > and & nor what is beyond ASCII.
func (f *field) appendText(b []byte, text string) ([]byte, error) {
	if usual(text) {
		return append(append(append(b, '"'), text...), '"'), nil
	}
	if !utf8.ValidString(text) {
		return b, fmt.Errorf("field %s has a text that is not UTF-8", f.fd.FullName())
	}
	b = append(b, '"')
	begin := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, text[begin:i]...)
		begin = i + 1
		switch at := strings.IndexByte("\"\\\b\f\n\r\t", c); {
		case at >= 0:
			b = append(b, '\\', `"\bfnrt`[at])
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return append(append(b, text[begin:]...), '"'), nil
}

// usual reports whether a text is ASCII without anything to escape, as most are.
func usual(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendFloat appends a number of 32 or 64 bits in the shortest form that is read as the same: that of ECMAScript, but -0 has its sign.
func appendFloat(b []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(b, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(b, `"-Infinity"`...)
	}
	small, large := 1e-6, 1e21
	if bits == 32 {
		small, large = float64(float32(small)), float64(float32(large))
	}
	if a := math.Abs(x); a == 0 || a >= small && a < large {
		return strconv.AppendFloat(b, x, 'f', -1, bits)
	}
	b = strconv.AppendFloat(b, x, 'e', -1, bits)
	if n := len(b); string(b[n-4:n-1]) == "e-0" { // e-09 is written e-9
		b = append(b[:n-2], b[n-1])
	}
	return b
}
