package shelf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/kith-io/kith/catalog"
)

// ErrInvalid is matched by the errors of Check.
var ErrInvalid = errors.New("invalid filter")

// Bounds of a Filter.
const (
	MaxConditions = 64
	MaxValues     = 1000
	MaxItems      = 10_000
)

// Op is what a Condition asks of an attribute.
type Op uint8

// Ops. A product without the attribute, or without a record, meets NoneOf alone.
const (
	// AnyOf: it is, or has, one of the values. A value that reads as a number or as true or false stands for those, too.
	AnyOf Op = iota + 1
	// AllOf: it has all of the values.
	AllOf
	// NoneOf: it has none of the values.
	NoneOf
	// Range: it is a number, or a moment in Unix milliseconds, between Min and Max.
	Range
	// Available: it is a number above 0, or true.
	Available
)

// Condition is about one attribute.
type Condition struct {
	Attribute string
	Op        Op
	// Values of AnyOf, AllOf and NoneOf.
	Values []string
	// Min and Max of Range are within it, unless they are excluded. Infinities bound nothing.
	Min, Max               float64
	ExcludeMin, ExcludeMax bool
}

// Filter says which items may be in an answer: those that meet all of it. The zero value lets all pass.
type Filter struct {
	Conditions []Condition
	// Allow, unless empty, names the only items that pass; those of Deny do not.
	Allow, Deny []string
	// OnlyProducts wants a record that is not deleted.
	OnlyProducts bool
}

// Empty reports whether all items pass.
func (f *Filter) Empty() bool {
	return len(f.Conditions) == 0 && len(f.Allow) == 0 && len(f.Deny) == 0 && !f.OnlyProducts
}

// UsesProducts reports whether the outcome depends on what products are.
func (f *Filter) UsesProducts() bool { return len(f.Conditions) > 0 || f.OnlyProducts }

// WantsProduct reports whether nothing passes but items with a record that is not deleted.
func (f *Filter) WantsProduct() bool {
	return f.OnlyProducts || slices.ContainsFunc(f.Conditions, func(c Condition) bool { return c.Op != NoneOf })
}

// Check returns nil if a filter is within its bounds, or an error that matches ErrInvalid.
func (f *Filter) Check() error {
	if len(f.Conditions) > MaxConditions {
		return fmt.Errorf("%w: %d conditions; want at most %d", ErrInvalid, len(f.Conditions), MaxConditions)
	}
	if n := max(len(f.Allow), len(f.Deny)); n > MaxItems {
		return fmt.Errorf("%w: a list of %d items; want at most %d", ErrInvalid, n, MaxItems)
	}
	for i := range f.Conditions {
		if err := f.Conditions[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Condition) check() error {
	if c.Attribute == "" || len(c.Attribute) > catalog.MaxNameBytes {
		return fmt.Errorf("%w: the name of attribute %.80q has %d bytes; want 1 to %d", ErrInvalid, c.Attribute, len(c.Attribute), catalog.MaxNameBytes)
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: attribute %q: %s", ErrInvalid, c.Attribute, fmt.Sprintf(format, args...))
	}
	switch c.Op {
	case AnyOf, AllOf, NoneOf:
		if len(c.Values) == 0 || len(c.Values) > MaxValues {
			return refuse("%d values; want 1 to %d", len(c.Values), MaxValues)
		}
		for _, x := range c.Values {
			if len(x) > MaxTextBytes {
				return refuse("value %.40q... has %d bytes; want at most %d, as longer ones cannot be filtered by", x, len(x), MaxTextBytes)
			}
		}
	case Range:
		switch {
		case math.IsNaN(c.Min) || math.IsNaN(c.Max):
			return refuse("a bound is not a number")
		case c.Min > c.Max:
			return refuse("the range from %v to %v is empty", c.Min, c.Max)
		}
	case Available:
	default:
		return refuse("nothing is asked of it; want values, a range, or that it is available")
	}
	return nil
}

// Test is a Filter on a View, and valid as long. Many may use it at a time.
type Test struct {
	view        *View
	conditions  []condition
	allow, deny map[string]struct{} // nil for none
	only        bool
}

// condition is a Condition with names and texts resolved.
type condition struct {
	*Condition
	name Name
	// any are all values, ascending; all has for each value the tokens that stand for it.
	any []token
	all [][]token
}

// Compile returns the test of a filter that passes Check. Cost: a lookup for each value, and a copy of the lists of items.
func (v *View) Compile(f *Filter) *Test {
	t := &Test{view: v, allow: setOf(f.Allow), deny: setOf(f.Deny), only: f.OnlyProducts}
	for i := range f.Conditions {
		c := condition{Condition: &f.Conditions[i], name: v.Name(f.Conditions[i].Attribute)}
		for _, x := range c.Values {
			tokens := v.tokens(x)
			c.any = append(c.any, tokens...)
			if c.Op == AllOf {
				c.all = append(c.all, tokens)
			}
		}
		slices.SortFunc(c.any, compareTokens)
		t.conditions = append(t.conditions, c)
	}
	return t
}

func setOf(items []string) map[string]struct{} {
	if len(items) == 0 {
		return nil
	}
	set := make(map[string]struct{}, len(items))
	for _, x := range items {
		set[x] = struct{}{}
	}
	return set
}

// tokens returns the values that a text stands for.
func (v *View) tokens(text string) (out []token) {
	if id, ok := v.shelf.texts.find(text); ok {
		out = append(out, token{catalog.Text, uint64(id)})
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		out = append(out, number(x))
	}
	switch text {
	case "true":
		out = append(out, truth(true))
	case "false":
		out = append(out, truth(false))
	}
	return out
}

func compareTokens(a, b token) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.bits, b.bits))
}

// Match reports whether an item passes; slot is that of its key. Cost: O(conditions · (log values + cells of the attribute)), without allocation.
func (t *Test) Match(slot int, key []byte) bool {
	if t.only && (slot == None || !t.view.shelf.rows[slot].there) {
		return false
	}
	if t.allow != nil {
		if _, ok := t.allow[string(key)]; !ok {
			return false
		}
	}
	if t.deny != nil {
		if _, ok := t.deny[string(key)]; ok {
			return false
		}
	}
	cells := t.view.cells(slot)
	for i := range t.conditions {
		if !t.conditions[i].holds(cells) {
			return false
		}
	}
	return true
}

func (c *condition) holds(cells []cell) bool {
	cells = ofName(cells, c.name)
	switch c.Op {
	case AnyOf:
		return hasAny(cells, c.any)
	case NoneOf:
		return !hasAny(cells, c.any)
	case AllOf:
		for _, tokens := range c.all {
			if !hasAny(cells, tokens) {
				return false
			}
		}
		return true
	case Range:
		for _, x := range cells {
			if c.inRange(x.token) {
				return true
			}
		}
	case Available:
		for _, x := range cells {
			if x.kind == catalog.Bool && x.bits == 1 || x.kind == catalog.Number && math.Float64frombits(x.bits) > 0 {
				return true
			}
		}
	}
	return false
}

// hasAny reports whether one of the cells is one of the tokens, which ascend.
func hasAny(cells []cell, tokens []token) bool {
	for _, x := range cells {
		if _, found := slices.BinarySearchFunc(tokens, x.token, compareTokens); found {
			return true
		}
	}
	return false
}

func (c *condition) inRange(t token) bool {
	var x float64
	switch t.kind {
	case catalog.Number:
		x = math.Float64frombits(t.bits)
	case catalog.Time:
		x = float64(int64(t.bits))
	default:
		return false
	}
	return (x > c.Min || x == c.Min && !c.ExcludeMin) && (x < c.Max || x == c.Max && !c.ExcludeMax)
}
