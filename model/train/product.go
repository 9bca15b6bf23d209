package train

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/kith-io/kith/catalog"
)

const dayMs = 24 * 60 * 60 * 1000

// ProductOf returns what models learn from a record: truth values are texts, times are numbers of days since 1970, and a text that is a list of numbers, such as [0.5, -1e-3], is a
// vector. It shares the texts of the record. One that is deleted says nothing.
func ProductOf(r *catalog.Record) Product {
	var p Product
	for _, a := range r.Attributes {
		out := Attribute{Name: a.Name}
		switch v := a.Value; v.Type {
		case catalog.Number:
			out.Number = v.Number
		case catalog.Time:
			out.Number = float64(v.Millis) / dayMs
		case catalog.Texts:
			out.Texts = v.Texts
			if len(v.Texts) == 0 {
				continue
			}
		case catalog.Text:
			if out.Vector = ParseVector(v.Text); out.Vector == nil {
				out.Texts = []string{v.Text}
			}
		case catalog.Bool:
			out.Texts = []string{strconv.FormatBool(v.Bool)}
		}
		p.Attributes = append(p.Attributes, out)
	}
	return p
}

// ProfileOf returns what models learn from the record of a user: ProductOf, of the attributes of some names alone, which ascend.
func ProfileOf(r *catalog.Record, names []string) []Attribute {
	return Named(ProductOf(r).Attributes, names)
}

// Named returns the attributes of some names, which ascend.
func Named(attributes []Attribute, names []string) (named []Attribute) {
	for _, a := range attributes {
		if _, ok := slices.BinarySearch(names, a.Name); ok {
			named = append(named, a)
		}
	}
	return named
}

// FormatVector writes a vector as ParseVector reads it, in as few digits as make the same numbers.
func FormatVector(v []float32) string {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
}

// ParseVector returns the numbers of a text in brackets with commas between them, or nil if it is another one. Two are the least: a single one in brackets is more likely prose.
func ParseVector(text string) []float32 {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "[") || !strings.HasSuffix(text, "]") {
		return nil
	}
	var out []float32
	for part := range strings.SplitSeq(text[1:len(text)-1], ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 32)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		out = append(out, float32(x))
	}
	if len(out) < 2 {
		return nil
	}
	return out
}
