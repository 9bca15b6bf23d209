package rest

import (
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// place is where a field of a message is in the struct that the generated code has for the message. Protobuf's own reflection finds it by the descriptor each
// time, and makes memory for lists and texts.
type place struct {
	// index is that of the field of the struct.
	index int
	kind  protoreflect.Kind
	// choice is the struct around the value of one of many, whose only field it is; nil of others.
	choice reflect.Type
}

// structOf returns the type of the struct that the generated code has for messages, or nil if there is none.
func structOf(md protoreflect.MessageDescriptor) reflect.Type {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName())
	if err != nil || mt.Descriptor() != md {
		return nil
	}
	t := reflect.TypeOf(mt.Zero().Interface())
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	return t.Elem()
}

// placeOf returns the place of a field in a struct that structOf returned, or nil if it cannot be told.
func placeOf(t reflect.Type, fd protoreflect.FieldDescriptor) *place {
	if t == nil {
		return nil
	}
	one := fd.ContainingOneof()
	if one != nil && one.IsSynthetic() { // of an optional field, which is a pointer
		one = nil
	}
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case !f.IsExported():
		case one == nil && slices.Contains(strings.Split(f.Tag.Get("protobuf"), ","), "name="+string(fd.Name())):
			return &place{index: i, kind: fd.Kind()}
		case one != nil && f.Tag.Get("protobuf_oneof") == string(one.Name()):
			return &place{i, fd.Kind(), choiceOf(t, i, fd)}
		}
	}
	return nil
}

// choiceOf returns the struct around the value of one of many.
func choiceOf(t reflect.Type, index int, fd protoreflect.FieldDescriptor) reflect.Type {
	made := reflect.New(t)
	m, _ := made.Interface().(protoreflect.ProtoMessage)
	m.ProtoReflect().Set(fd, m.ProtoReflect().NewField(fd))
	return made.Elem().Field(index).Elem().Type().Elem()
}

// plain reports whether setNew can set a value of a kind. A number of floating point is not plain: -0 is something that is set, and zero to reflect.
func plain(kind protoreflect.Kind) bool {
	switch kind {
	case protoreflect.MessageKind, protoreflect.GroupKind, protoreflect.BytesKind, protoreflect.FloatKind, protoreflect.DoubleKind:
		return false
	}
	return true
}

// setNew sets a single value of a plain kind in the struct of a message, unless something is set there already; it reports whether it did.
func (p *place) setNew(m reflect.Value, v protoreflect.Value) bool {
	at := m.Field(p.index)
	if !at.IsZero() {
		return false
	}
	if p.choice != nil {
		choice := reflect.New(p.choice)
		at.Set(choice)
		at = choice.Elem().Field(0)
	}
	if at.Kind() == reflect.Pointer {
		value := reflect.New(at.Type().Elem())
		at.Set(value)
		at = value.Elem()
	}
	switch p.kind {
	case protoreflect.StringKind:
		at.SetString(v.String())
	case protoreflect.BoolKind:
		at.SetBool(v.Bool())
	case protoreflect.EnumKind:
		at.SetInt(int64(v.Enum()))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		at.SetUint(v.Uint())
	default:
		at.SetInt(v.Int())
	}
	return true
}

// chosen returns the value of one of many, if it is the one that is set in its place, or else no value.
func (p *place) chosen(at reflect.Value) (value reflect.Value) {
	if at.IsNil() {
		return value
	}
	if at = at.Elem(); at.IsNil() || at.Type().Elem() != p.choice {
		return value
	}
	return at.Elem().Field(0)
}

// valueOf returns what the field of a struct has, for a single value that is no message.
func valueOf(at reflect.Value, kind protoreflect.Kind) (v protoreflect.Value) {
	switch at.Kind() {
	case reflect.String:
		return protoreflect.ValueOfString(at.String())
	case reflect.Bool:
		return protoreflect.ValueOfBool(at.Bool())
	case reflect.Int32, reflect.Int64:
		if kind == protoreflect.EnumKind {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(at.Int()))
		}
		return protoreflect.ValueOfInt64(at.Int())
	case reflect.Uint32, reflect.Uint64:
		return protoreflect.ValueOfUint64(at.Uint())
	case reflect.Float32, reflect.Float64:
		return protoreflect.ValueOfFloat64(at.Float())
	case reflect.Slice:
		return protoreflect.ValueOfBytes(at.Bytes())
	}
	return v
}
