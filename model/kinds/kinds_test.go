package kinds_test

import (
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/kinds"
)

// TestKinds: each is whole, has a name of its own, and takes its defaults and what tuning would try.
func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, k := range kinds.All {
		if k.Name == "" || k.Doc == "" || (k.NewDriver == nil || k.NewWorker == nil) == (k.OfBase == nil) || k.Write == nil || (k.Read == nil) == (k.ReadCombination == nil) {
			t.Errorf("kind %q lacks something", k.Name)
		}
		if names[k.Name] {
			t.Errorf("two kinds %q", k.Name)
		}
		names[k.Name] = true
		for _, p := range k.Parameters {
			if p.Doc == "" {
				t.Errorf("%s: parameter %s has no description", k.Name, p.Name)
			}
			if p.Names {
				continue
			}
			values := []float64{p.Default}
			if p.Search != [2]float64{} {
				values = append(values, p.Search[0], p.Search[1])
			}
			for _, x := range values {
				if _, err := model.NewSettings(k.Parameters, map[string]float64{p.Name: x}); err != nil {
					t.Errorf("%s: %v", k.Name, err)
				}
			}
		}
		var err error
		if k.Read != nil {
			_, err = k.Read(nil)
		} else {
			_, err = k.ReadCombination(nil)
		}
		if err == nil {
			t.Errorf("%s reads an empty file", k.Name)
		}
	}
}
