package route_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/kith-io/kith/api/rest/route"
)

// method returns one with a rule. Its request has the texts key and names, a list, and the message inner, which has the text key.
func method(t *testing.T, rule *annotations.HttpRule, streams bool) protoreflect.MethodDescriptor {
	t.Helper()
	options := &descriptorpb.MethodOptions{}
	if rule != nil {
		proto.SetExtension(options, annotations.E_Http, rule)
	}
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, label descriptorpb.FieldDescriptorProto_Label, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &kind, Label: &label}
		if of != "" {
			f.TypeName = &of
		}
		return f
	}
	const text, one, many = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("t.proto"), Package: proto.String("t"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Inner"), Field: []*descriptorpb.FieldDescriptorProto{field("key", 1, text, one, "")}},
			{Name: proto.String("Request"), Field: []*descriptorpb.FieldDescriptorProto{
				field("key", 1, text, one, ""), field("names", 2, text, many, ""),
				field("inner", 3, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, one, ".t.Inner"),
			}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Call"), InputType: proto.String(".t.Request"), OutputType: proto.String(".t.Inner"), ClientStreaming: &streams, Options: options,
		}}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0).Methods().Get(0)
}

func TestOf(t *testing.T) {
	get := func(path string) *annotations.HttpRule {
		return &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: path}}
	}
	put := func(path, body string) *annotations.HttpRule {
		return &annotations.HttpRule{Pattern: &annotations.HttpRule_Put{Put: path}, Body: body}
	}
	both := get("/v1/{key}")
	both.AdditionalBindings = []*annotations.HttpRule{put("/v1/x/{inner.key}", "inner")}
	for _, tt := range []struct {
		name    string
		rule    *annotations.HttpRule
		streams bool
		want    []string
		wrong   string
	}{
		{name: "none"},
		{name: "a variable", rule: get("/v1/{key}/x"), want: []string{"GET /v1/{key}/x key"}},
		{name: "two bindings", rule: both, want: []string{"GET /v1/{key} key", "PUT /v1/x/{key} inner.key"}},
		{name: "all in the body", rule: put("/v1/x", "*"), want: []string{"PUT /v1/x"}},
		{name: "a client's stream", rule: get("/v1/x"), streams: true, wrong: "t.S.Call: the method takes a stream"},
		{name: "no verb", rule: &annotations.HttpRule{}, wrong: "no verb"},
		{name: "a body of GET", rule: &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/x"}, Body: "*"}, wrong: "GET has a body"},
		{name: "a part of the answer", rule: &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/x"}, ResponseBody: "key"}, wrong: "response_body"},
		{name: "a body that is no message", rule: put("/v1/x", "key"), wrong: `"key"; want a message`},
		{name: "a body that is not there", rule: put("/v1/x", "none"), wrong: `"none"; want a message`},
		{name: "an unknown field", rule: get("/v1/{none}"), wrong: `unknown field "none"`},
		{name: "an unknown field within", rule: get("/v1/{inner.none}"), wrong: `unknown field "inner.none"`},
		{name: "a way through a text", rule: get("/v1/{key.none}"), wrong: `"key" has none of its own`},
		{name: "a list", rule: get("/v1/{names}"), wrong: "names is not a single value"},
		{name: "a message", rule: get("/v1/{inner}"), wrong: "inner is not a single value"},
		{name: "a verb behind", rule: get("/v1/{key}:do"), wrong: "want a literal or a {field}"},
		{name: "several segments", rule: get("/v1/{key=**}"), wrong: "want a literal or a {field}"},
		{name: "an empty segment", rule: get("/v1//x"), wrong: "want a literal or a {field}"},
		{name: "no slash", rule: get("v1"), wrong: "does not begin with a slash"},
		{name: "a name twice", rule: get("/v1/{key}/{inner.key}"), wrong: "two variables end with key"},
	} {
		routes, err := route.Of(method(t, tt.rule, tt.streams))
		var got []string
		for i := range routes {
			line := routes[i].Pattern()
			for _, v := range routes[i].Vars {
				line += " " + v.Name
			}
			got = append(got, line)
			if name := routes[i].FullMethod(); name != "/t.S/Call" {
				t.Errorf("%s: method %s", tt.name, name)
			}
		}
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.wrong)
		}
	}
}
