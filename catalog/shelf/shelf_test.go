package shelf_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/catalog/shelf"
)

const room = 1 << 30

func text(name, x string) catalog.Attribute {
	return catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Text, Text: x}}
}

func texts(name string, xs ...string) catalog.Attribute {
	return catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Texts, Texts: append([]string{}, xs...)}}
}

func number(name string, x float64) catalog.Attribute {
	return catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Number, Number: x}}
}

func moment(name string, ms int64) catalog.Attribute {
	return catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Time, Millis: ms}}
}

// product is one of usual size: seven attributes, a title of its own.
func product(i int) *catalog.Record {
	return &catalog.Record{Key: fmt.Sprintf("product-%07d", i), Version: 1, Attributes: []catalog.Attribute{
		text("brand", fmt.Sprint("brand ", i%997)), text("category", fmt.Sprint("category ", i%101)), number("price", float64(i%5000)/100),
		moment("since", 1_700_000_000_000+int64(i)), number("stock", float64(i%4)),
		texts("tags", fmt.Sprint("tag ", i%50), fmt.Sprint("tag ", i%51), fmt.Sprint("tag ", i%52)), text("title", fmt.Sprintf("A title of some thirty bytes %d", i)),
	}}
}

func drawRecord(t *rapid.T) *catalog.Record {
	r := &catalog.Record{Key: rapid.StringMatching(`p[0-9]`).Draw(t, "key"), Deleted: rapid.IntRange(0, 5).Draw(t, "deleted") == 0}
	if r.Deleted {
		return r
	}
	for _, name := range []string{"a", "b", "c"} {
		switch rapid.IntRange(0, 6).Draw(t, "type") {
		case 1:
			r.Attributes = append(r.Attributes, text(name, rapid.SampledFrom([]string{"", "x", "y", "1", "true", strings.Repeat("z", shelf.MaxTextBytes+1)}).Draw(t, "text")))
		case 2:
			r.Attributes = append(r.Attributes, number(name, rapid.SampledFrom([]float64{-1, math.Copysign(0, -1), 1, 2.5}).Draw(t, "number")))
		case 3:
			r.Attributes = append(r.Attributes, catalog.Attribute{Name: name, Value: catalog.Value{Type: catalog.Bool, Bool: rapid.Bool().Draw(t, "bool")}})
		case 4:
			r.Attributes = append(r.Attributes, moment(name, rapid.Int64Range(-2, 2).Draw(t, "moment")))
		case 5:
			r.Attributes = append(r.Attributes, texts(name, rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "1"}), 0, 3).Draw(t, "texts")...))
		}
	}
	return r
}

// has reports whether a value is or has what a text stands for.
func has(v *catalog.Value, x string) bool {
	number, err := strconv.ParseFloat(x, 64)
	switch v.Type {
	case catalog.Text:
		return v.Text == x
	case catalog.Texts:
		return slices.Contains(v.Texts, x)
	case catalog.Number:
		return err == nil && v.Number == number
	case catalog.Bool:
		return x == fmt.Sprint(v.Bool)
	}
	return false
}

// passes is the slow twin of Test.Match.
func passes(r *catalog.Record, key string, f *shelf.Filter) bool {
	if f.OnlyProducts && (r == nil || r.Deleted) || len(f.Allow) > 0 && !slices.Contains(f.Allow, key) || slices.Contains(f.Deny, key) {
		return false
	}
	for _, c := range f.Conditions {
		v := &catalog.Value{}
		if r != nil {
			for i := range r.Attributes {
				if r.Attributes[i].Name == c.Attribute {
					v = &r.Attributes[i].Value
				}
			}
		}
		some, all := false, true
		for _, x := range c.Values {
			some, all = some || has(v, x), all && has(v, x)
		}
		x := v.Number
		if v.Type == catalog.Time {
			x = float64(v.Millis)
		}
		ok := false
		switch c.Op {
		case shelf.AnyOf:
			ok = some
		case shelf.AllOf:
			ok = all
		case shelf.NoneOf:
			ok = !some
		case shelf.Range:
			ok = (v.Type == catalog.Number || v.Type == catalog.Time) && x >= c.Min && x <= c.Max && !(c.ExcludeMin && x == c.Min) && !(c.ExcludeMax && x == c.Max)
		case shelf.Available:
			ok = v.Bool || v.Number > 0
		}
		if !ok {
			return false
		}
	}
	return true
}

// TestMatchEqualsSlowTwin puts products again and again, and compares all tests and readings with those of the records themselves.
func TestMatchEqualsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, records := shelf.New(room), map[string]*catalog.Record{}
		for _, r := range rapid.SliceOfN(rapid.Custom(drawRecord), 0, 30).Draw(t, "records") {
			s.Put(r)
			records[r.Key] = r
		}
		f := shelf.Filter{OnlyProducts: rapid.Bool().Draw(t, "only")}
		if rapid.Bool().Draw(t, "lists") {
			f.Allow, f.Deny = []string{"p1", "p2", "p3", "q"}, []string{"p2"}
		}
		for range rapid.IntRange(0, 3).Draw(t, "conditions") {
			c := shelf.Condition{Attribute: rapid.SampledFrom([]string{"a", "b", "d"}).Draw(t, "attribute"), Op: shelf.Op(rapid.IntRange(1, 5).Draw(t, "op"))}
			if c.Op <= shelf.NoneOf {
				c.Values = rapid.SliceOfN(rapid.SampledFrom([]string{"", "x", "y", "1", "0", "2.50", "true", "nothing"}), 1, 4).Draw(t, "values")
			}
			if c.Op == shelf.Range {
				c.Min, c.Max = rapid.SampledFrom([]float64{math.Inf(-1), -1, 0}).Draw(t, "min"), rapid.SampledFrom([]float64{0, 1, math.Inf(1)}).Draw(t, "max")
				c.ExcludeMin, c.ExcludeMax = rapid.Bool().Draw(t, "open"), rapid.Bool().Draw(t, "open")
			}
			f.Conditions = append(f.Conditions, c)
		}
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
		s.View(func(v *shelf.View) {
			test, there := v.Compile(&f), 0
			for i := range 11 {
				key := fmt.Sprint("p", i)
				if r := records[key]; r != nil && !r.Deleted {
					there++
				}
				got, want := test.Match(v.Find([]byte(key)), []byte(key)), passes(records[key], key, &f)
				if got != want {
					t.Fatalf("%s %+v: %+v passes: %v, want %v", key, records[key], f, got, want)
				}
				if got && f.WantsProduct() && (records[key] == nil || records[key].Deleted) {
					t.Fatalf("%s: %+v wants a product, and what has no record passes", key, f)
				}
			}
			if v.Products() != there {
				t.Fatalf("%d products, want %d", v.Products(), there)
			}
		})
		for key := range records {
			s.Put(&catalog.Record{Key: key, Deleted: true})
		}
		if got, want := s.Bytes(), int64(len(records)*(128+2)); got != want {
			t.Fatalf("%d bytes after all products were deleted, want %d", got, want)
		}
	})
}

func TestGroupsAndTimes(t *testing.T) {
	s := shelf.New(room)
	s.Put(&catalog.Record{Key: "a", Attributes: []catalog.Attribute{text("g", "x"), moment("t", -5)}})
	s.Put(&catalog.Record{Key: "b", Attributes: []catalog.Attribute{texts("g", "x", "y"), number("t", 3)}})
	s.Put(&catalog.Record{Key: "c", Attributes: []catalog.Attribute{texts("g", "y", "x")}})
	s.Put(&catalog.Record{Key: "d", Attributes: []catalog.Attribute{texts("g")}})
	s.View(func(v *shelf.View) {
		group := func(key string) uint32 { return v.Group(v.Find([]byte(key)), v.Name("g")) }
		if a, b, c := group("a"), group("b"), group("c"); a == 0 || a != b || a == c || c == 0 {
			t.Errorf("groups %d %d %d, want two alike and another", a, b, c)
		}
		if group("d") != 0 || group("e") != 0 || v.Group(v.Find([]byte("a")), v.Name("h")) != 0 {
			t.Error("a group without a text")
		}
		if ms, ok := v.Time(v.Find([]byte("a")), v.Name("t")); ms != -5 || !ok {
			t.Errorf("time %d %v, want -5", ms, ok)
		}
		if _, ok := v.Time(v.Find([]byte("b")), v.Name("t")); ok {
			t.Error("a number is a time")
		}
	})
}

func TestFiltersAreBounded(t *testing.T) {
	for name, f := range map[string]shelf.Filter{
		"nothing asked":  {Conditions: []shelf.Condition{{Attribute: "a"}}},
		"no name":        {Conditions: []shelf.Condition{{Op: shelf.Available}}},
		"no values":      {Conditions: []shelf.Condition{{Attribute: "a", Op: shelf.AnyOf}}},
		"a long value":   {Conditions: []shelf.Condition{{Attribute: "a", Op: shelf.AnyOf, Values: []string{strings.Repeat("x", shelf.MaxTextBytes+1)}}}},
		"empty range":    {Conditions: []shelf.Condition{{Attribute: "a", Op: shelf.Range, Min: 2, Max: 1}}},
		"not a number":   {Conditions: []shelf.Condition{{Attribute: "a", Op: shelf.Range, Min: math.NaN(), Max: 1}}},
		"many":           {Conditions: make([]shelf.Condition, shelf.MaxConditions+1)},
		"many items":     {Deny: make([]string, shelf.MaxItems+1)},
		"an unknown ask": {Conditions: []shelf.Condition{{Attribute: "a", Op: 99}}},
	} {
		if err := f.Check(); !errors.Is(err, shelf.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
}

// TestMemory compares what a shelf says that it takes with what it takes, and shows that it stops at its limit.
func TestMemory(t *testing.T) {
	const n = 50_000
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s := shelf.New(room)
	for i := range n {
		s.Put(product(i))
	}
	took := heap() - before
	t.Logf("%d products take %d bytes each, and say %d", n, took/n, s.Bytes()/n)
	if took > s.Bytes()*11/10 {
		t.Errorf("%d products take %d bytes, and say only %d", n, took, s.Bytes())
	}
	runtime.KeepAlive(s)

	limit := s.Bytes() / 2
	small := shelf.New(limit)
	for i := range n {
		small.Put(product(i))
	}
	small.View(func(v *shelf.View) {
		if v.Products()+v.Omitted() != n || v.Omitted() < n/4 {
			t.Errorf("%d products and %d omitted of %d under half of the limit that they need", v.Products(), v.Omitted(), n)
		}
	})
	for i := range n {
		small.Put(&catalog.Record{Key: product(i).Key, Deleted: true})
	}
	small.Put(product(n - 1))
	small.View(func(v *shelf.View) {
		if v.Products() != 1 || v.Omitted() != 0 {
			t.Errorf("%d products and %d omitted after there was room again, want 1 and none", v.Products(), v.Omitted())
		}
	})
}

// BenchmarkMatch tests one candidate after the other by three conditions, the key being looked up each time.
func BenchmarkMatch(b *testing.B) {
	const n = 100_000
	s := shelf.New(room)
	keys := make([][]byte, n)
	for i := range n {
		r := product(i)
		s.Put(r)
		keys[i*7919%n] = []byte(r.Key)
	}
	f := shelf.Filter{OnlyProducts: true, Conditions: []shelf.Condition{
		{Attribute: "stock", Op: shelf.Available}, {Attribute: "price", Op: shelf.Range, Min: 5, Max: 45}, {Attribute: "tags", Op: shelf.NoneOf, Values: []string{"tag 1", "tag 2", "tag 3"}},
	}}
	s.View(func(v *shelf.View) {
		test := v.Compile(&f)
		b.ReportAllocs()
		i, passed := 0, 0
		for b.Loop() {
			if test.Match(v.Find(keys[i]), keys[i]) {
				passed++
			}
			if i++; i == n {
				i = 0
			}
		}
		if b.N > n && passed == 0 {
			b.Error("no product passes")
		}
	})
}
