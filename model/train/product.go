package train

import (
	"slices"
	"strconv"

	"github.com/kith-io/kith/catalog"
)

const dayMs = 24 * 60 * 60 * 1000

// ProductOf returns what models learn from a record: truth values are texts, times are numbers of days since 1970. It shares the texts of the record. One that is deleted says
// nothing.
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
			out.Texts = []string{v.Text}
		case catalog.Bool:
			out.Texts = []string{strconv.FormatBool(v.Bool)}
		}
		p.Attributes = append(p.Attributes, out)
	}
	return p
}

// ProfileOf returns what models learn from the record of a user: ProductOf, of the attributes of some names alone, which ascend.
func ProfileOf(r *catalog.Record, names []string) (profile []Attribute) {
	for _, a := range ProductOf(r).Attributes {
		if _, named := slices.BinarySearch(names, a.Name); named {
			profile = append(profile, a)
		}
	}
	return profile
}
