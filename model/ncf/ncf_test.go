package ncf

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/neural/neuraltest"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
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

// TestPassIsTheSumOfItsPieces: what goes through the layers together changes nothing, also where it is more than fits at once; and pieces have each liked item once.
func TestPassIsTheSumOfItsPieces(t *testing.T) {
	const users, items = 40, 20
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	for u := range uint32(users) {
		for id := range uint32(items) {
			if (id+u)%3 != 0 {
				rows.Item = append(rows.Item, id)
			}
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	if len(rows.Item) < 2*togetherItems {
		t.Fatalf("%d entries, want at least %d", len(rows.Item), 2*togetherItems)
	}
	e := neural.NewExamples(train.Split(rows, nil, 1)[0])
	for id := range uint32(items) {
		e.Known = append(e.Known, id)
	}
	for user, most := range map[string]int{byHistory: pieceItems, byID: 1} {
		s, err := model.ParseSettings(Kind.Parameters, map[string]string{"user": user, "factors": "3"})
		if err != nil {
			t.Fatal(err)
		}
		z, d := shapeOf(s), design(s, items, users)
		var pieces []neural.Piece
		covered := 0
		for u := range users {
			for _, p := range d.Pieces(e, u) {
				if p.To-p.From > most {
					t.Errorf("user=%s: a piece has %d items, want at most %d", user, p.To-p.From, most)
				}
				pieces, covered = append(pieces, p), covered+p.To-p.From
			}
		}
		if covered != len(rows.Item) {
			t.Errorf("user=%s: pieces have %d items, want %d", user, covered, len(rows.Item))
		}
		pass := func(parts [][]neural.Piece) (loss float64, terms int, grads []float64) {
			var n *network[float64]
			p := neural.Build(z.tables(items, users), func(p *neural.Parameters[float64]) { n = newNetwork(z, p) })
			p.Start(rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 2)))
			rng := rand.New(rand.NewPCG(2, 2))
			for _, part := range parts {
				x, k := n.Pass(e, part, rng)
				loss, terms = loss+x, terms+k
			}
			return loss, terms, p.Grads()
		}
		var single [][]neural.Piece
		for i := range pieces {
			single = append(single, pieces[i:i+1])
		}
		loss, terms, grads := pass([][]neural.Piece{pieces})
		wantLoss, wantTerms, want := pass(single)
		if math.Abs(loss-wantLoss) > 1e-9*wantLoss || terms != wantTerms || terms != covered*(1+z.negatives) {
			t.Errorf("user=%s: loss %v of %d terms together, %v of %d by piece, want %d", user, loss, terms, wantLoss, wantTerms, covered*(1+z.negatives))
		}
		for i, g := range grads {
			if math.Abs(g-want[i]) > 1e-9*(1+math.Abs(want[i])) {
				t.Fatalf("user=%s: gradient %d is %v together, %v by piece", user, i, g, want[i])
			}
		}
	}
}

// TestTableOfUsers: a row of the table answers for its user, and a vector that is learned from the same history finds the same tastes.
func TestTableOfUsers(t *testing.T) {
	rows, right := modeltest.Blocks()
	given := map[string]string{"user": "id", "variant": "gmf", "iterations": "15", "factors": "8", "rate": "0.01", "batch": "64", "decay": "0.001"}
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
