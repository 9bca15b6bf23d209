package ncf

import (
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/neural/neuraltest"
)

// small learns the structure of tests in a moment; quick is for tests that look at nothing learned.
var (
	small = map[string]string{"iterations": "12", "factors": "8", "rate": "0.01", "batch": "128", "decay": "0.001"}
	quick = map[string]string{"iterations": "2", "factors": "2"}
)

func TestContract(t *testing.T) { neuraltest.Contract(t, Kind, small, quick) }

func TestWorkers(t *testing.T) { neuraltest.Workers(t, Kind, small, quick) }

func TestDamagedFiles(t *testing.T) { neuraltest.Damage(t, Kind, quick) }

func FuzzRead(f *testing.F) {
	for _, file := range neuraltest.Seeds(f, Kind, quick) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) { neuraltest.Read(t, Kind, file) })
}

func TestGradients(t *testing.T) {
	for name, z := range map[string]shape{
		"factors":        {factor: 3, negatives: 2},
		"perceptron":     {dense: 3, layers: 2, negatives: 2},
		"fused":          {factor: 3, dense: 3, layers: 3, negatives: 2},
		"fused, dropout": {factor: 2, dense: 3, layers: 2, negatives: 3, dropout: 0.3},
		"table of users": {factor: 3, dense: 2, layers: 2, negatives: 2, byID: true},
	} {
		t.Run(name, func(t *testing.T) {
			neuraltest.Gradients(t, z.tables(7, 3), func(p *neural.Parameters[float64]) neuraltest.Network { return newNetwork(z, p) })
		})
	}
}

// TestTableOfUsers: a row of the table answers for its user, and a vector that is learned from the same history finds the same tastes.
func TestTableOfUsers(t *testing.T) {
	rows, right := modeltest.Blocks()
	given := map[string]string{"user": "id", "variant": "gmf", "iterations": "15", "factors": "8", "rate": "0.03", "batch": "64", "decay": "0.0001"}
	m, err := Kind.Read(neuraltest.Train(t, Kind, given, rows, nil, 3, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{true, false} {
		found, of := 0, 0
		for u := range rows.NumUsers() {
			q := model.Query{User: -1, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], N: 3}
			if known {
				q.User = u
			}
			answer, err := m.Recommend(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range answer {
				of++
				if slices.Contains(right[u], s.Item) {
					found++
				}
			}
		}
		if found*10 < of*9 {
			t.Errorf("row of a table %v: found %d of %d held-back items, want nine of ten", known, found, of)
		}
	}
}
