package fusion

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kith-io/kith/fusion/record"
	"github.com/kith-io/kith/source/datatest"
)

// exampleNumbers is what is published of a source, or follows from it.
type exampleNumbers struct {
	kept     int64
	rejected map[string]int64
	distinct map[string]int     // values of a field
	sum      map[string]float64 // of a field
}

// TestExamples reads the public data sets by the mappings of examples and finds the numbers that are known of them.
func TestExamples(t *testing.T) {
	dir := datatest.Dir(t)
	want := map[string]exampleNumbers{
		"ml-100k/ratings":           {kept: 100000, distinct: map[string]int{"user": 943, "item": 1682, "value": 5}},
		"ml-100k/movies":            {kept: 1682, distinct: map[string]int{"item": 1682, "title": 1663}, sum: map[string]float64{"action": 251, "drama": 725}},
		"ml-100k/people":            {kept: 943, distinct: map[string]int{"user": 943, "sex": 2, "occupation": 20}, sum: map[string]float64{"age": 32111}},
		"online-retail/by-customer": {kept: 406829, rejected: map[string]int64{"no_user": 135080}, distinct: map[string]int{"user": 4372, "item": 3885, "country": 37}},
		"online-retail/by-invoice":  {kept: 172782, rejected: map[string]int64{"no_user": 67225}, distinct: map[string]int{"user": 2974}},
		"olist/items":               {kept: 8365, distinct: map[string]int{"order": 7360, "item": 5460}},
		"olist/order-of":            {kept: 8135, distinct: map[string]int{"left": 8135, "right": 8135, "left_kind": 1}},
		"olist/person-of":           {kept: 8135, distinct: map[string]int{"left": 8135, "right": 8016}},
		"olist/customers":           {kept: 8135, distinct: map[string]int{"user": 8016}},
		"olist/products":            {kept: 5460, distinct: map[string]int{"item": 5460}},
		"retailrocket/events":       {kept: 97381, distinct: map[string]int{"user": 2174, "item": 29905, "behavior": 3}},
		"retailrocket/held-out":     {kept: 2174, distinct: map[string]int{"user": 2174}},

		"complete-journey/transactions": {kept: 75000, distinct: map[string]int{"order": 47243, "user": 2377, "item": 20902}},
		"complete-journey/products":     {kept: 92331, distinct: map[string]int{"item": 92331}},
		"complete-journey/households":   {kept: 801, distinct: map[string]int{"user": 801}},
		"complete-journey/redemptions":  {kept: 2102},
		"groceries/groceries":           {kept: 43367, distinct: map[string]int{"user": 9835, "item": 169}},
		"amazon-beauty/beauty":          {kept: 198502, distinct: map[string]int{"user": 22363, "item": 12101}},
		"diginetica/views":              {kept: 12391},
		"hetrec-lastfm/listens":         {kept: 92834, distinct: map[string]int{"user": 1892, "item": 17632}},
		"hetrec-lastfm/artists":         {kept: 17632, distinct: map[string]int{"item": 17632}},
	}
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		set := strings.TrimSuffix(filepath.Base(file), ".yaml")
		f, err := ReadFile(file, MappingOptions{Lookup: func(name string) (string, bool) { return dir, name == "KITH_DATA" }})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range f.Sources {
			name := set + "/" + m.Name
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				if testing.Short() && want[name].kept > 50_000 {
					t.Skip("long")
				}
				if _, err := os.Stat(m.Path); err != nil {
					t.Skipf("%s is not there", m.Path)
				}
				checkExample(t, m, want[name])
			})
		}
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("there is no source %s", name)
		}
	}
}

func checkExample(t *testing.T, m Mapping, want exampleNumbers) {
	t.Helper()
	distinct := map[string]map[record.Value]bool{}
	for name := range want.distinct {
		distinct[name] = map[record.Value]bool{}
	}
	sums := map[string]float64{}
	var maker *EventMaker
	refused := int64(0)
	report, err := ReadRecords(t.Context(), m, nil, func(fields []record.Field, rec record.Record) (err error) {
		if maker == nil && m.Kind.HasEvents() {
			if maker, err = NewEventMaker(m.Kind, fields); err != nil {
				return err
			}
		}
		if maker != nil {
			if _, err := maker.Event(rec.Values); err != nil {
				refused++
			}
		}
		for i, f := range fields {
			v := rec.Values[i]
			if seen := distinct[f.Name]; seen != nil && !v.IsNull() && (len(seen) < 200_000) {
				seen[v] = true
			}
			if _, ok := want.sum[f.Name]; ok {
				sums[f.Name] += v.Number()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if refused > 0 {
		t.Errorf("%d records make no event", refused)
	}
	got := exampleNumbers{kept: report.Kept, rejected: report.Reasons, sum: sums}
	for name, seen := range distinct {
		if got.distinct == nil {
			got.distinct = map[string]int{}
		}
		got.distinct[name] = len(seen)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(exampleNumbers{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
