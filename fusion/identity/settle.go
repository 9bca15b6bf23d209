package identity

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/kith-io/kith/fusion/record"
)

// Method is how a field is settled where sources disagree.
type Method uint8

// Methods. Where a method leaves several values, the source named first in the rule's order counts, then the newest, then the place, so that the answer
// does not depend on the order in which the values come.
const (
	// Trust takes the value of the source that is first in the order.
	Trust Method = iota
	// Newest takes the value with the latest time; values without one come last.
	Newest
	// Majority takes the value that most sources have; one that a source gives several times counts once for it.
	Majority
	// Longest takes the text with the most characters.
	Longest
	// Max and Min take the greatest and the least number, moment or truth value; texts are compared by their bytes.
	Max
	Min
)

var methodNames = [...]string{"trust", "newest", "majority", "longest", "max", "min"}

// String returns the method as mapping files have it.
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return fmt.Sprintf("Method(%d)", uint8(m))
}

// ParseMethod returns the method of a name, or an error that matches ErrConfig and lists the names.
func ParseMethod(name string) (Method, error) {
	if i := slices.Index(methodNames[:], name); i >= 0 {
		return Method(i), nil
	}
	return 0, fmt.Errorf("%w: method %q; want one of %v", ErrConfig, name, methodNames)
}

// Rule says how to settle a field.
type Rule struct {
	Method Method
	// Order are names of sources by trust, the most trusted first. Those that are not in it come after all that are, and are equal.
	Order []string
}

// Claim is what a source says about a field of an entity.
type Claim struct {
	Value record.Value
	Place record.Place
	// Time is when the source last changed it, in Unix milliseconds; missing if Timed is false.
	Time  int64
	Timed bool
}

// Settled is the answer for a field, with its lineage.
type Settled struct {
	// Claim is what counts. Its Value is missing if no source has one.
	Claim
	// Agreeing is the number of claims with the same value, this one included, and Others are all other claims with a value, the next best first.
	Agreeing int
	Others   []Claim
}

// Conflict reports whether a source says otherwise.
func (s *Settled) Conflict() bool { return s.Agreeing > 0 && len(s.Others)+1 > s.Agreeing }

// Settle settles a field. Claims without a value are left out. The claims are not changed; the result shares nothing with them. No two claims may
// have one place and the same time, value and source, or it does not matter which is meant.
func (r Rule) Settle(claims []Claim) Settled {
	ranked := make([]Claim, 0, len(claims))
	for _, c := range claims {
		if !c.Value.IsNull() {
			ranked = append(ranked, c)
		}
	}
	if len(ranked) == 0 {
		return Settled{}
	}
	votes := map[record.Value]int{}
	if r.Method == Majority {
		type vote struct {
			value  record.Value
			source string
		}
		cast := map[vote]bool{}
		for _, c := range ranked {
			if v := (vote{c.Value, c.Place.Source}); !cast[v] {
				cast[v] = true
				votes[c.Value]++
			}
		}
	}
	slices.SortFunc(ranked, func(a, b Claim) int {
		return cmp.Or(r.better(&a, &b, votes), r.tie(&a, &b))
	})
	out := Settled{Claim: ranked[0], Others: ranked[1:]}
	for i := range ranked {
		if ranked[i].Value == out.Value {
			out.Agreeing++
		}
	}
	return out
}

// better returns below 0 if the method prefers a.
func (r Rule) better(a, b *Claim, votes map[record.Value]int) int {
	switch r.Method {
	case Trust:
		return cmp.Compare(r.rank(a), r.rank(b))
	case Newest:
		return newer(a, b)
	case Majority:
		return cmp.Compare(votes[b.Value], votes[a.Value])
	case Longest:
		return cmp.Compare(utf8.RuneCountInString(b.Value.String()), utf8.RuneCountInString(a.Value.String()))
	case Max:
		return -compareValues(a.Value, b.Value)
	case Min:
		return compareValues(a.Value, b.Value)
	}
	return 0
}

// tie is a total order of claims: by trust, time, place, and at last by value.
func (r Rule) tie(a, b *Claim) int {
	return cmp.Or(
		cmp.Compare(r.rank(a), r.rank(b)), newer(a, b),
		cmp.Compare(a.Place.Source, b.Place.Source), cmp.Compare(a.Place.File, b.Place.File),
		cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Part, b.Place.Part),
		compareValues(a.Value, b.Value),
	)
}

func (r Rule) rank(c *Claim) int {
	if i := slices.Index(r.Order, c.Place.Source); i >= 0 {
		return i
	}
	return len(r.Order)
}

func newer(a, b *Claim) int {
	switch {
	case a.Timed && b.Timed:
		return cmp.Compare(b.Time, a.Time)
	case a.Timed:
		return -1
	case b.Timed:
		return 1
	}
	return 0
}

// compareValues orders values of one type; of different types by type.
func compareValues(a, b record.Value) int {
	return cmp.Or(cmp.Compare(a.Type(), b.Type()), cmp.Compare(a.Number(), b.Number()), cmp.Compare(a.Text(), b.Text()))
}
