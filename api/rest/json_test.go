package rest

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	_ "go.opentelemetry.io/proto/otlp/metrics/v1" // for messages with kinds that the protocol does not have
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// foreignTexts are the JSON of messages of google.protobuf, most of which have a form of their own.
var foreignTexts = map[protoreflect.FullName]string{
	"google.protobuf.Any":         `{"@type":"type.googleapis.com/google.protobuf.Duration", "value":"1.5s"}`,
	"google.protobuf.Timestamp":   `"2026-01-02T03:04:05.006Z"`,
	"google.protobuf.Duration":    `"-1.5s"`,
	"google.protobuf.Struct":      `{"b":[1, null, {"x":"<, >"}]}`,
	"google.protobuf.Value":       `null`,
	"google.protobuf.ListValue":   `[1, ", "]`,
	"google.protobuf.FieldMask":   `"a.b,c"`,
	"google.protobuf.Int64Value":  `"5"`,
	"google.protobuf.StringValue": `"\u0001"`,
	"google.protobuf.Empty":       `{}`,
	// This one is of proto2, and has fields that are required.
	"google.protobuf.UninterpretedOption": `{"name":[{"namePart":"a", "isExtension":true}]}`,
}

// kinds returns two types that are not of the protocol. Kinds has a field, an optional one, a list, a map and one of many of each kind; Keys has maps with keys that are no texts.
func kinds(t *testing.T) (all, keys protoreflect.MessageDescriptor) {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{}
	message := func(name string, options string) *descriptorpb.DescriptorProto {
		m := &descriptorpb.DescriptorProto{}
		if err := prototext.Unmarshal(fmt.Appendf(nil, "name:%q %s", name, options), m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	field := func(m *descriptorpb.DescriptorProto, name, label, kind, options string) {
		f := &descriptorpb.FieldDescriptorProto{}
		if err := prototext.Unmarshal(fmt.Appendf(nil, "name:%q number:%d label:LABEL_%s type:TYPE_%s", name, len(m.Field)+1, label, kind+" "+options), f); err != nil {
			t.Fatal(err)
		}
		m.Field = append(m.Field, f)
	}
	dictionary := func(m *descriptorpb.DescriptorProto, name, key, kind, options string) {
		entry := message(strings.ToUpper(name[:1])+name[1:]+"Entry", "options{map_entry:true}")
		field(entry, "key", "OPTIONAL", key, "")
		field(entry, "value", "OPTIONAL", kind, options)
		m.NestedType = append(m.NestedType, entry)
		field(m, name, "REPEATED", "MESSAGE", fmt.Sprintf(`type_name:".t.%s.%s"`, m.GetName(), entry.GetName()))
	}

	var each [][3]string // name, kind and options
	for kind := protoreflect.Kind(1); kind.IsValid() || kind == protoreflect.GroupKind; kind++ {
		switch name := kind.String(); kind {
		case protoreflect.GroupKind: // proto3 has none
		case protoreflect.MessageKind:
			each = append(each, [3]string{name, "MESSAGE", `type_name:".t.Kinds"`})
		case protoreflect.EnumKind:
			each = append(each, [3]string{name, "ENUM", `type_name:".t.Enum"`}, [3]string{"null", "ENUM", `type_name:".google.protobuf.NullValue"`})
		default:
			each = append(each, [3]string{name, strings.ToUpper(name), ""})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(foreignTexts)) {
		each = append(each, [3]string{strings.ToLower(string(name.Name())), "MESSAGE", fmt.Sprintf("type_name:%q", "."+name)})
	}
	m := message("Kinds", `oneof_decl{name:"choice"}`)
	for _, e := range each { // in a row, as they must be
		field(m, e[0]+"choice", "OPTIONAL", e[1], e[2]+" oneof_index:0")
	}
	for _, e := range each {
		name, kind, options := e[0], e[1], e[2]
		field(m, name, "OPTIONAL", kind, options)
		field(m, name+"list", "REPEATED", kind, options)
		dictionary(m, name+"map", "STRING", kind, options)
		if kind != "MESSAGE" {
			field(m, name+"optional", "OPTIONAL", kind, fmt.Sprintf("%s proto3_optional:true oneof_index:%d", options, len(m.OneofDecl)))
			m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + name)})
		}
	}
	k := message("Keys", "")
	for _, kind := range []string{"BOOL", "INT32", "UINT64", "SINT64", "STRING"} {
		dictionary(k, strings.ToLower(kind), kind, "STRING", "")
	}

	if err := prototext.Unmarshal([]byte(`name:"t.proto" package:"t" syntax:"proto3"
		dependency:["google/protobuf/any.proto", "google/protobuf/timestamp.proto", "google/protobuf/duration.proto", "google/protobuf/struct.proto",
			"google/protobuf/field_mask.proto", "google/protobuf/wrappers.proto", "google/protobuf/empty.proto", "google/protobuf/descriptor.proto"]
		enum_type{name:"Enum" options{allow_alias:true} value{name:"NONE" number:0} value{name:"ONE" number:1} value{name:"UNITY" number:1} value{name:"LESS" number:-1}}`), file); err != nil {
		t.Fatal(err)
	}
	file.MessageType = append(file.MessageType, m, k)
	made, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return made.Messages().ByName("Kinds"), made.Messages().ByName("Keys")
}

// same compares a shape with protojson, and returns the text, or "" after an error of both.
func same(t *testing.T, s *shape, m proto.Message) string {
	t.Helper()
	const before = "before "
	got, err := s.append([]byte(before), m.ProtoReflect())
	want, wantErr := appendForeign([]byte(before), m)
	switch {
	case err != nil && wantErr != nil:
		if got, want := wire.HTTPStatus(err), wire.HTTPStatus(wantErr); got != want {
			t.Errorf("%v has status %d, %v has %d", err, got, wantErr, want)
		}
		return ""
	case err != nil || wantErr != nil || !bytes.Equal(got, want):
		t.Fatalf("%s\n got %s, %v\nwant %s, %v", m.ProtoReflect().Descriptor().FullName(), got, err, want, wantErr)
	}
	return strings.TrimPrefix(string(got), before)
}

// fill sets fields of a message by lot, and messages within down to a depth.
func fill(t *testing.T, rng *rand.Rand, m protoreflect.Message, depth int) {
	t.Helper()
	if text := foreignTexts[m.Descriptor().FullName()]; text != "" {
		if err := protojson.Unmarshal([]byte(text), m.Interface()); err != nil {
			t.Fatal(err)
		}
		return
	}
	one := func(fd protoreflect.FieldDescriptor, empty protoreflect.Value) protoreflect.Value {
		if fd.Message() == nil {
			return single(rng, fd)
		}
		if depth > 0 {
			fill(t, rng, empty.Message(), depth-1)
		}
		return empty
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch fd := fields.Get(i); {
		case rng.IntN(3) == 0:
		case fd.IsMap():
			entries := m.Mutable(fd).Map()
			for range rng.IntN(4) {
				entries.Set(single(rng, fd.MapKey()).MapKey(), one(fd.MapValue(), entries.NewValue()))
			}
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range rng.IntN(4) {
				list.Append(one(fd, list.NewElement()))
			}
		default:
			m.Set(fd, one(fd, m.NewField(fd)))
		}
	}
}

// single returns a value of a kind, often one at an edge.
func single(rng *rand.Rand, fd protoreflect.FieldDescriptor) protoreflect.Value {
	whole := []uint64{0, 1, math.MaxInt32, 1 << 31, math.MaxUint32, 1 << 53, math.MaxInt64, 1 << 63, math.MaxUint64, rng.Uint64() >> rng.IntN(64)}
	x := whole[rng.IntN(len(whole))]
	float := []float64{
		0, math.Copysign(0, -1), 1, -0.5, 1. / 3, 1e-6, 9.99999e-7, 1e-7, 1.5e-10, 1e20, 1e21, -1e21, 9.999999e20, 1e100, math.MaxFloat32, math.SmallestNonzeroFloat32, math.MaxFloat64,
		math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1), rng.NormFloat64(), math.Float64frombits(rng.Uint64()), float64(math.Float32frombits(rng.Uint32())),
	}
	y := float[rng.IntN(len(float))]
	const letters = "abc XYZ/<>&'\"\\\b\f\n\r\t\x00\x01\x1f\x7f\u0080äß\u2028\u2029\ufeff\ufffd😀\U0010ffff"
	var text []rune
	for range rng.IntN(12) {
		text = append(text, []rune(letters)[rng.IntN(len([]rune(letters)))])
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(x%2 == 0)
	case protoreflect.EnumKind:
		if values := fd.Enum().Values(); rng.IntN(4) > 0 {
			return protoreflect.ValueOfEnum(values.Get(rng.IntN(values.Len())).Number())
		}
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(x)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(x))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(x))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(x))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(x)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(y))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(y)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(string(text)))
	}
	return protoreflect.ValueOfString(string(text))
}

// TestShapes has messages by lot of every type that this program knows, those of the protocol among them, and of one with each kind: the text is that of protojson.
func TestShapes(t *testing.T) {
	types := map[protoreflect.FullName]protoreflect.MessageType{}
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		types[mt.Descriptor().FullName()] = mt
		return true
	})
	all, keys := kinds(t)
	types[all.FullName()], types[keys.FullName()] = dynamicpb.NewMessageType(all), dynamicpb.NewMessageType(keys)
	texts, own := 0, 0
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if name.Parent() == "kith.v1" {
			own++
		}
		s := newShape(types[name].Descriptor(), map[protoreflect.FullName]*shape{})
		if name.Parent() == "kith.v1" && s.pointer == nil {
			t.Errorf("the places of the fields of %s are not known", name)
		}
		same(t, s, types[name].Zero().Interface()) // which is nil
		seed := fnv.New64a()
		_, _ = seed.Write([]byte(name))
		rng := rand.New(rand.NewPCG(seed.Sum64(), 1))
		for i := range 40 {
			m := types[name].New()
			fill(t, rng, m, i%4)
			if same(t, s, m.Interface()) != "" {
				texts++
			}
		}
	}
	if own < 200 || texts < 40*own {
		t.Errorf("%d texts, %d types of the protocol", texts, own)
	}
}

// TestFixedShapes has the texts of what is easily mistaken.
func TestFixedShapes(t *testing.T) {
	all, keys := kinds(t)
	known := map[protoreflect.FullName]*shape{}
	of := func(md protoreflect.MessageDescriptor, text string) proto.Message {
		m := dynamicpb.NewMessage(md)
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	zero := 0.
	for _, tt := range []struct {
		name string
		m    proto.Message
		want string // a part
	}{
		{"without fields", &kithv1.PutRecordsResponse{}, `{`},
		{"empty", &kithv1.ListResponse{}, `{"events":[]}`},
		{"an item that is nil", &kithv1.RecommendResponse{Items: []*kithv1.RecommendedItem{nil}}, `{"items":[{"item":"","score":0,"source":"MODEL_UNSPECIFIED","contributions":[],"found":[]}],`},
		{"escapes", &kithv1.Contribution{Item: "\x00\x1f\b\f\n\r\t\"\\/<>&\x7f\u2028\ufffd"}, `{"item":"\u0000\u001f\b\f\n\r\t\"\\/<>&` + "\x7f\u2028\ufffd" + `","score":0}`},
		{"a number far from 0", &kithv1.Contribution{Score: -1e21}, `"score":-1e+21}`},
		{"a number near 0", &kithv1.Contribution{Score: 1.5e-7}, `"score":1.5e-7}`},
		{"a number very near 0", &kithv1.Contribution{Score: 1.5e-10}, `"score":1.5e-10}`},
		{"a negative 0", &kithv1.Contribution{Score: math.Copysign(0, -1)}, `"score":-0}`},
		{"no number", &kithv1.Contribution{Score: math.NaN()}, `"score":"NaN"}`},
		{"infinite", &kithv1.Contribution{Score: math.Inf(-1)}, `"score":"-Infinity"}`},
		{"an optional one that is not there", &kithv1.Diversity{}, `{"attribute":"","max_per_group":0`},
		{"an optional one that is 0", &kithv1.Diversity{Lambda: &zero}, `"lambda":0`},
		{"an unknown name", &kithv1.RecommendResponse{Model: 12345, ModelVersion: math.MaxUint64}, `"model":12345,"model_version":"18446744073709551615"`},
		{"the first of two names", of(all, `{"enum":"UNITY"}`), `"enum":"ONE"`},
		{"one of many", &kithv1.Attribute{Name: "x", Value: &kithv1.Attribute_Number{}}, `{"name":"x","number":0}`},
		{"one of many that is nil", &kithv1.Attribute{Name: "x", Value: (*kithv1.Attribute_Number)(nil)}, `{"name":"x"}`},
		{"one of many whose message is nil", &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_Basket{}}, `{"basket":{`},
		{"a message within that is empty", of(all, `{"messagechoice":{}}`), `"messagechoice":{"double":0,`},
		{"a map", &kithv1.Event{Context: map[string]string{"b": "", "a\n": "1", "ä": "2", "B": "3"}}, `"context":{"B":"3","a\n":"1","b":"","ä":"2"}`},
		{"keys that are numbers", of(keys, `{"int32":{"10":"a", "9":"b", "-1":"c"}}`), `"int32":{"-1":"c","9":"b","10":"a"}`},
		{"bytes", of(all, `{"bytes":"+/8="}`), `"bytes":"+/8="`},
		{"32 bits", of(all, `{"float":0.1, "fixed32":4294967295}`), `"float":0.1`},
		{"nothing", of(all, `{"nulllist":[null]}`), `"nulllist":[null]`},
		{"a time", of(all, `{"timestamp":"2026-01-02T03:04:05Z"}`), `"timestamp":"2026-01-02T03:04:05Z"`},
		{"a message that is null", of(all, `{"valuelist":[null, 1]}`), `"valuelist":[null,1]`},
	} {
		if got := same(t, newShape(tt.m.ProtoReflect().Descriptor(), known), tt.m); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s; want %s", tt.name, got, tt.want)
		}
	}
	const bad = "a\xff"
	for _, m := range []proto.Message{
		&kithv1.Contribution{Item: bad},
		&kithv1.Attribute{Value: &kithv1.Attribute_Text{Text: bad}},
		&kithv1.TextList{Texts: []string{"", bad}},
		&kithv1.Event{Context: map[string]string{bad: ""}},
		&kithv1.Event{Context: map[string]string{"": bad}},
		&kithv1.RecommendResponse{Items: []*kithv1.RecommendedItem{{Contributions: []*kithv1.Contribution{{Item: bad}}}}},
	} {
		if got := same(t, newShape(m.ProtoReflect().Descriptor(), known), m); got != "" {
			t.Errorf("not UTF-8, and became %s", got)
		}
	}
}

// BenchmarkMarshal makes the text of an answer with 10 items.
func BenchmarkMarshal(b *testing.B) {
	m := &kithv1.RecommendResponse{Model: kithv1.Model_MODEL_ITEM_KNN, ModelVersion: 1_712_345_678_901, Scene: "home", AnswerId: "0198c5d2-aaaa-7bbb-8ccc-123456789abc"}
	for i := range 10 {
		m.Items = append(m.Items, &kithv1.RecommendedItem{Item: fmt.Sprintf("item-%d", 1000+i), Score: 1 / (1.5 + float64(i)), Source: kithv1.Model_MODEL_ITEM_KNN})
	}
	s := newShape(m.ProtoReflect().Descriptor(), map[protoreflect.FullName]*shape{})
	for name, write := range map[string]func(b []byte, m proto.Message) ([]byte, error){
		"protojson": appendForeign,
		"shape":     func(b []byte, m proto.Message) ([]byte, error) { return s.append(b, m.ProtoReflect()) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var text []byte
			var err error
			for b.Loop() {
				if text, err = write(text[:0], m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(text)), "bytes")
		})
	}
}
