package rest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kith-io/kith/api/rest/route"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// text is how a path or a query has a value.
func text(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if fd.Kind() == protoreflect.EnumKind {
		if value := fd.Enum().Values().ByNumber(v.Enum()); value != nil {
			return route.Short(value)
		}
	}
	return v.String()
}

// TestPlaces sets each field of each message of the protocol in its struct and by its descriptor, in messages that are empty and in those that have something.
func TestPlaces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	placed, set := 0, 0
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		md := mt.Descriptor()
		if md.FullName().Parent() != "kith.v1" {
			return true
		}
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			if fd.IsList() || fd.IsMap() || !plain(fd.Kind()) {
				continue
			}
			direct := newTarget(md, route.Field{Name: string(fd.Name()), Way: []protoreflect.FieldDescriptor{fd}})
			if direct.place == nil {
				t.Errorf("%s has no place", fd.FullName())
				continue
			}
			placed++
			slow := direct
			slow.place, slow.enum = nil, nil
			for n := range 20 {
				text := text(fd, single(rng, fd))
				got, want := mt.New(), mt.New()
				if n%2 == 1 {
					seed := rng.Uint64()
					fill(t, rand.New(rand.NewPCG(seed, 1)), got, 0)
					fill(t, rand.New(rand.NewPCG(seed, 1)), want, 0)
				}
				err, wrong := direct.setOnce(got, text), slow.setOnce(want, text)
				if fmt.Sprint(err) != fmt.Sprint(wrong) {
					t.Errorf("%s of %q: %v; want %v", fd.FullName(), text, err, wrong)
				}
				if !proto.Equal(got.Interface(), want.Interface()) || got.Has(fd) != want.Has(fd) {
					t.Errorf("%s of %q: %v; want %v", fd.FullName(), text, got.Interface(), want.Interface())
				}
				if err == nil {
					set++
				}
			}
		}
		return true
	})
	if placed < 150 || set < 10*placed {
		t.Errorf("%d fields, set %d times", placed, set)
	}
}

// FuzzParseQuery compares the parameters of a query with those of url.ParseQuery.
func FuzzParseQuery(f *testing.F) {
	for _, query := range []string{
		"", "n=10&model=item_knn", "b=2&a=1&b=1&a=%20+", "a", "=", "=1&", "&&a=b=c&&", "a=%zz", "%zz=1&b=%y", "a;b=1&%zz", "a=1;b&c", "a=1&a=2&a=3&a=4&a=5&a=6&a=7&a=8&A=9", "%61=1&a=2",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		want, wrong := url.ParseQuery(query)
		var few [8]parameter
		all, err := parseQuery(few[:0], query)
		if fmt.Sprint(err) != fmt.Sprint(wrong) {
			t.Fatalf("%q: %v; want %v", query, err, wrong)
		}
		if !slices.IsSortedFunc(all, func(x, y parameter) int { return cmp.Compare(x.name, y.name) }) {
			t.Errorf("%q: %q is not sorted", query, all)
		}
		got := url.Values{}
		for _, p := range all {
			got[p.name] = append(got[p.name], p.value)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q; want %q", query, got, want)
		}
	})
}

// BenchmarkBind makes the request for recommendations of one of HTTP.
func BenchmarkBind(b *testing.B) {
	face := New(Config{})
	face.RegisterService(&kithv1.RecommenderService_ServiceDesc, kithv1.UnimplementedRecommenderServiceServer{})
	h := face.routes["GET /v1/users/{user}/recommendations"]
	if h == nil {
		b.Fatalf("no such route; there are %v, %v", face.routes, face.err)
	}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/users/u12345/recommendations?n=10&model=item_knn", http.NoBody)
	r.SetPathValue("user", "u12345")
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		req := &kithv1.RecommendRequest{}
		if err := h.bind(w, r, req.ProtoReflect()); err != nil || req.N != 10 || req.GetUser() != "u12345" || req.Model != kithv1.Model_MODEL_ITEM_KNN {
			b.Fatal(req, err)
		}
	}
}
