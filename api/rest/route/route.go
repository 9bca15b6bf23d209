// Package route reads from the google.api.http annotations of a service which requests of HTTP its methods answer.
//
// Of what the annotations can say it takes what is used here, and refuses the rest: paths of literals and of variables that are a whole segment,
// bodies that are all of the request or one field of it, and several bindings of a method.
package route

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// AllBody is the body that is for all fields that the path does not set.
const AllBody = "*"

// Route is a request of HTTP that a method answers.
type Route struct {
	// Verb is GET, PUT, POST, DELETE or PATCH.
	Verb string
	// Path is the template, such as /v1/users/{user}/events. A variable has the last name of its field.
	Path string
	// Vars are the fields of the variables of Path, in its order.
	Vars []Field
	// Body is the field that the body is for, or AllBody; empty if there is no body.
	Body string
	// Method answers.
	Method protoreflect.MethodDescriptor
}

// Field is a field of a request, or of a message within it.
type Field struct {
	// Name is the way to it, with dots.
	Name string
	// Way has the messages that lead to it and, at last, the field.
	Way []protoreflect.FieldDescriptor
}

// Leaf is the field itself; in a path its name stands for it.
func (f Field) Leaf() protoreflect.FieldDescriptor { return f.Way[len(f.Way)-1] }

// Pattern is the name of the route, and the pattern that http.ServeMux has for it.
func (r *Route) Pattern() string { return r.Verb + " " + r.Path }

// FullMethod is the name of the method as gRPC has it.
func (r *Route) FullMethod() string {
	return fmt.Sprintf("/%s/%s", r.Method.Parent().FullName(), r.Method.Name())
}

// InPath reports whether a field is set by the path.
func (r *Route) InPath(name string) bool {
	for _, v := range r.Vars {
		if v.Name == name {
			return true
		}
	}
	return false
}

// Of returns the routes of a method, none if it is not annotated. An error is one of the annotation, and names the method.
func Of(m protoreflect.MethodDescriptor) ([]Route, error) {
	if !proto.HasExtension(m.Options(), annotations.E_Http) {
		return nil, nil
	}
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	var routes []Route
	for _, rule := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		r, err := of(m, rule)
		if err != nil {
			return nil, fmt.Errorf("google.api.http of %s: %w", m.FullName(), err)
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func of(m protoreflect.MethodDescriptor, rule *annotations.HttpRule) (Route, error) {
	r := Route{Body: rule.GetBody(), Method: m}
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		r.Verb, r.Path = http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		r.Verb, r.Path = http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		r.Verb, r.Path = http.MethodPost, p.Post
	case *annotations.HttpRule_Delete:
		r.Verb, r.Path = http.MethodDelete, p.Delete
	case *annotations.HttpRule_Patch:
		r.Verb, r.Path = http.MethodPatch, p.Patch
	default:
		return r, errors.New("no verb and path; want get, put, post, delete or patch")
	}
	switch {
	case m.IsStreamingClient():
		return r, errors.New("the method takes a stream, which a request is not")
	case rule.GetResponseBody() != "":
		return r, errors.New("response_body is not supported; leave it out")
	case r.Body != "" && (r.Verb == http.MethodGet || r.Verb == http.MethodDelete):
		return r, fmt.Errorf("%s has a body; want none", r.Verb)
	}
	if r.Body != "" && r.Body != AllBody {
		fd := m.Input().Fields().ByName(protoreflect.Name(r.Body))
		if fd == nil || fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return r, fmt.Errorf("the body is for %q; want a message of the request, or %q", r.Body, AllBody)
		}
	}
	rest, ok := strings.CutPrefix(r.Path, "/")
	if !ok {
		return r, fmt.Errorf("path %q does not begin with a slash", r.Path)
	}
	segments := strings.Split(rest, "/")
	for i, segment := range segments {
		name, open := strings.CutPrefix(segment, "{")
		name, closed := strings.CutSuffix(name, "}")
		switch {
		case segment == "" || open != closed || strings.ContainsAny(name, "{}*=:"):
			return r, fmt.Errorf("path %q: segment %q; want a literal or a {field}", r.Path, segment)
		case !open:
			continue
		}
		f, err := Find(m.Input(), name)
		if err != nil {
			return r, fmt.Errorf("path %q: %w", r.Path, err)
		}
		if leaf := f.Leaf(); leaf.IsList() || leaf.IsMap() || leaf.Message() != nil {
			return r, fmt.Errorf("path %q: %s is not a single value", r.Path, name)
		}
		r.Vars = append(r.Vars, f)
		segments[i] = fmt.Sprintf("{%s}", f.Leaf().Name())
		if slices.Contains(segments[:i], segments[i]) {
			return r, fmt.Errorf("path %q: two variables end with %s", r.Path, f.Leaf().Name())
		}
	}
	r.Path = "/" + strings.Join(segments, "/")
	return r, nil
}

// Find returns the field at the end of a way of names with dots between, as a path or a query has it. Those before the last are single messages.
func Find(message protoreflect.MessageDescriptor, name string) (Field, error) {
	f := Field{Name: name}
	for rest := name; ; {
		part, after, within := strings.Cut(rest, ".")
		fd := message.Fields().ByName(protoreflect.Name(part))
		if fd == nil {
			return f, fmt.Errorf("unknown field %q", name)
		}
		f.Way = append(f.Way, fd)
		if !within {
			return f, nil
		}
		if message = fd.Message(); message == nil || fd.IsList() || fd.IsMap() {
			return f, fmt.Errorf("unknown field %q: %q has none of its own that can be named", name, strings.TrimSuffix(name, "."+after))
		}
		rest = after
	}
}

// Prefix is what the names of all values of an enum begin with, such as MODEL_.
func Prefix(enum protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(enum.Values().Get(0).Name()), "UNSPECIFIED")
}

// Short is the name of a value in paths and queries, such as item_knn for MODEL_ITEM_KNN.
func Short(value protoreflect.EnumValueDescriptor) string {
	enum, _ := value.Parent().(protoreflect.EnumDescriptor)
	return strings.ToLower(strings.TrimPrefix(string(value.Name()), Prefix(enum)))
}
