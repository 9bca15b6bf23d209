package rest

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kith-io/kith/api/rest/route"
)

// target is a field with a single value, which a path or a query sets.
type target struct {
	field route.Field
	leaf  protoreflect.FieldDescriptor
	// name is that of the variable of a path.
	name string
	// of is the struct that has place; without one the field is set by its descriptor.
	of    reflect.Type
	place *place
	// enum has the usual texts of the values of an enum; there are more, which parse knows.
	enum map[string]protoreflect.EnumNumber
}

// newTarget returns the target of a field of requests, or of messages within them.
func newTarget(request protoreflect.MessageDescriptor, f route.Field) target {
	t := target{field: f, leaf: f.Leaf(), name: string(f.Leaf().Name())}
	if len(f.Way) == 1 && plain(t.leaf.Kind()) {
		t.of = structOf(request)
		t.place = placeOf(t.of, t.leaf)
	}
	if enum := t.leaf.Enum(); enum != nil {
		t.enum = map[string]protoreflect.EnumNumber{}
		for i := range enum.Values().Len() {
			value := enum.Values().Get(i)
			for _, text := range [...]string{route.Short(value), string(value.Name())} {
				if v, err := parseEnum(enum, text); err == nil {
					t.enum[text] = v.Enum()
				}
			}
		}
	}
	return t
}

// newTargets returns the targets of a route that its query sets with one value each, by name: those fields of the request that neither the path nor the body has.
func newTargets(r *route.Route) map[string]*target {
	targets := map[string]*target{}
	for i := range r.Method.Input().Fields().Len() {
		fd := r.Method.Input().Fields().Get(i)
		name := string(fd.Name())
		if r.Body == route.AllBody || r.Body == name || r.InPath(name) || fd.IsList() || fd.IsMap() || fd.Message() != nil {
			continue
		}
		t := newTarget(r.Method.Input(), route.Field{Name: name, Way: []protoreflect.FieldDescriptor{fd}})
		targets[name] = &t
	}
	return targets
}

// setOnce sets the field, which nothing else may have set to another value.
func (t *target) setOnce(m protoreflect.Message, text string) error {
	v, err := t.parse(text)
	if err != nil {
		return err
	}
	if t.place != nil {
		if s := reflect.ValueOf(m.Interface()).Elem(); s.Type() == t.of && t.place.setNew(s, v) {
			return nil
		}
	}
	m = owner(m, t.field)
	if m.Has(t.leaf) && !m.Get(t.leaf).Equal(v) {
		return fmt.Errorf("%s is %q here and %v in the body; want the same or one of them", t.field.Name, text, m.Get(t.leaf))
	}
	if one := t.leaf.ContainingOneof(); one != nil {
		if other := m.WhichOneof(one); other != nil && other != t.leaf {
			return fmt.Errorf("%s and %s exclude each other", t.field.Name, other.Name())
		}
	}
	m.Set(t.leaf, v)
	return nil
}

func (t *target) parse(text string) (protoreflect.Value, error) {
	if number, ok := t.enum[text]; ok {
		return protoreflect.ValueOfEnum(number), nil
	}
	return parse(t.leaf, text)
}

// owner returns the message that has the field at the end of a way, and makes those on the way.
func owner(m protoreflect.Message, f route.Field) protoreflect.Message {
	for _, fd := range f.Way[:len(f.Way)-1] {
		m = m.Mutable(fd).Message()
	}
	return m
}

// parameter is one of a query.
type parameter struct{ name, value string }

// parseQuery appends the parameters of a query to few, sorted by name and with those of a name in their order, as url.ParseQuery has them, whose error it
// returns. Those that fit into few need no memory.
func parseQuery(few []parameter, query string) ([]parameter, error) {
	if all, ok := split(few, query); ok {
		slices.SortStableFunc(all, func(x, y parameter) int { return cmp.Compare(x.name, y.name) })
		return all, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	var all []parameter
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			all = append(all, parameter{name, value})
		}
	}
	return all, nil
}

// split appends the parameters of a query to few, if they fit and nothing is wrong with them.
func split(few []parameter, query string) (_ []parameter, ok bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		var err, wrong error
		name, err = url.QueryUnescape(name)
		value, wrong = url.QueryUnescape(value)
		if err != nil || wrong != nil || strings.Contains(pair, ";") || len(few) == cap(few) {
			return nil, false
		}
		few = append(few, parameter{name, value})
	}
	return few, true
}
