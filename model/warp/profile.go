package warp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kith-io/kith/model"
)

const (
	// maxTextBytes is the longest text that may be a feature: longer ones are prose.
	maxTextBytes = 128
	// maxValues bounds the different values of an attribute that a worker counts, so that the driver gets some megabytes of it at most.
	maxValues = 1 << 16
	// maxKnots is the most points that the numbers of an attribute lie between.
	maxKnots = 8
)

// tally is how many users have each value of an attribute. A user counts once for each.
type tally struct {
	Texts   map[string]int `json:"texts"`
	Numbers []number       `json:"numbers"` // ascending
}

// number is a number that Users have, cut to the 9 bits that come first: so there are few different ones.
type number struct {
	Value float64 `json:"value"`
	Users int     `json:"users"`
}

// coarse cuts a number to its first 9 bits, which changes it by less than 1 in 256.
func coarse(x float64) float64 { return math.Float64frombits(math.Float64bits(x+0) &^ (1<<44 - 1)) }

// tallies counts what users have of the attributes of some names. Users without items do not count.
func tallies(names []string, profiles [][]model.Attribute, has func(user int) bool) ([]tally, error) {
	out := make([]tally, len(names))
	for i, name := range names {
		texts, numbers := map[string]int{}, map[float64]int{}
		for u, profile := range profiles {
			a := find(profile, name)
			if a == nil || !has(u) {
				continue
			}
			for _, text := range textsOf(a) {
				texts[text]++
			}
			if a.IsNumber() && usable(a.Number) {
				numbers[coarse(a.Number)]++
			}
		}
		if n := max(len(texts), len(numbers)); n > maxValues {
			return nil, fmt.Errorf("attribute %q of users has %d different values in one part of the data, want at most %d; name attributes whose values many users share", name, n, maxValues)
		}
		out[i].Texts = texts
		for _, x := range slices.Sorted(maps.Keys(numbers)) {
			out[i].Numbers = append(out[i].Numbers, number{x, numbers[x]})
		}
	}
	return out, nil
}

func find(profile []model.Attribute, name string) *model.Attribute {
	i := slices.IndexFunc(profile, func(a model.Attribute) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return &profile[i]
}

// textsOf returns the texts of an attribute that may be features, each once, ascending.
func textsOf(a *model.Attribute) (texts []string) {
	for _, x := range a.Texts {
		if x = strings.ToLower(strings.TrimSpace(x)); x != "" && len(x) <= maxTextBytes {
			texts = append(texts, x)
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// usable tells numbers from those whose differences may be beyond float64.
func usable(x float64) bool { return math.Abs(x) <= 1e300 }

// traits are the features of users: a row of parameters for each text and each knot, in the order in which they stand here.
type traits []trait

// trait is what an attribute of users may be: one of some texts, or a number beside or between some knots. Both ascend.
type trait struct {
	Name  string    `json:"name"`
	Texts []string  `json:"texts,omitempty"`
	Knots []float64 `json:"knots,omitempty"`
}

// newTraits makes features of what all users have: of texts that at least so many users share, and of knots that stand for as many. An attribute without any is an error.
func newTraits(names []string, parts [][]tally, least int) (traits, error) {
	var all traits
	for i, name := range names {
		texts, numbers := map[string]int{}, map[float64]int{}
		for _, part := range parts {
			for text, n := range part[i].Texts {
				texts[text] += n
			}
			for _, x := range part[i].Numbers {
				numbers[x.Value] += x.Users
			}
		}
		t := trait{Name: name, Knots: knots(numbers, least)}
		for _, text := range slices.Sorted(maps.Keys(texts)) {
			if texts[text] >= least {
				t.Texts = append(t.Texts, text)
			}
		}
		if len(t.Texts)+len(t.Knots) == 0 {
			return nil, fmt.Errorf("attribute %q of users has no value that %d users with interactions share; name others, put records of users that have it, or lower least-users", name, least)
		}
		all = append(all, t)
	}
	return all, nil
}

// knots returns points that divide users evenly by a number: the middles of classes of at least so many users.
func knots(users map[float64]int, least int) (points []float64) {
	values, total := slices.Sorted(maps.Keys(users)), 0
	for _, n := range users {
		total += n
	}
	n := min(maxKnots, total/least)
	at, before := 0, 0
	for k := range n {
		for middle := (2*k + 1) * total / (2 * n); before+users[values[at]] <= middle; at++ {
			before += users[values[at]]
		}
		points = append(points, values[at])
	}
	return slices.Compact(points)
}

// readTraits reads what json.Marshal wrote.
func readTraits(b []byte) (traits, error) {
	var all traits
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	for i, t := range all {
		if i > 0 && t.Name <= all[i-1].Name || !ascending(t.Texts) || !ascending(t.Knots) {
			return nil, fmt.Errorf("attribute %.80q of users, or one of its values, is twice or out of order", t.Name)
		}
		if n := len(t.Knots); n > 0 && !(usable(t.Knots[0]) && usable(t.Knots[n-1])) {
			return nil, fmt.Errorf("attribute %.80q of users has numbers from %v to %v", t.Name, t.Knots[0], t.Knots[n-1])
		}
	}
	return all, nil
}

func ascending[T cmp.Ordered](x []T) bool {
	for i := range x {
		if i > 0 && x[i] <= x[i-1] {
			return false
		}
	}
	return true
}

// size is the number of features.
func (all traits) size() (n int) {
	for _, t := range all {
		n += len(t.Texts) + len(t.Knots)
	}
	return n
}

func (all traits) names() (names []string) {
	for _, t := range all {
		names = append(names, t.Name)
	}
	return names
}

// of returns the features of a user, ascending, and their weights, which are 1 in all for each attribute of which something is known: texts count alike, and a number lies between the two
// nearest knots.
func (all traits) of(profile []model.Attribute) (features []uint32, weights []float32) {
	first := 0
	for _, t := range all {
		if a := find(profile, t.Name); a != nil {
			had := len(features)
			for _, text := range textsOf(a) {
				if i, known := slices.BinarySearch(t.Texts, text); known {
					features = append(features, uint32(first+i))
				}
			}
			for range len(features) - had {
				weights = append(weights, 1/float32(len(features)-had))
			}
			if a.IsNumber() && usable(a.Number) && len(t.Knots) > 0 {
				features, weights = between(features, weights, t.Knots, a.Number, uint32(first+len(t.Texts)))
			}
		}
		first += len(t.Texts) + len(t.Knots)
	}
	return features, weights
}

// between appends the knots beside x, weighted by how near they are.
func between(features []uint32, weights []float32, knots []float64, x float64, first uint32) ([]uint32, []float32) {
	x = min(max(x, knots[0]), knots[len(knots)-1])
	k, exact := slices.BinarySearch(knots, x)
	if exact {
		return append(features, first+uint32(k)), append(weights, 1)
	}
	part := (x - knots[k-1]) / (knots[k] - knots[k-1])
	return append(features, first+uint32(k)-1, first+uint32(k)), append(weights, float32(1-part), float32(part))
}
