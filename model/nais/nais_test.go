package nais

import (
	"testing"

	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/neural/neuraltest"
)

// small learns the structure of tests in a moment; quick is for tests that look at nothing learned.
var (
	small = map[string]string{"iterations": "8", "factors": "8", "hidden": "4", "rate": "0.01", "batch": "128"}
	quick = map[string]string{"iterations": "2", "factors": "2", "hidden": "2"}
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
	for _, z := range []shape{
		{factors: 3, hidden: 4, smoothing: 0.5, history: 10, negatives: 2},
		{factors: 3, hidden: 2, smoothing: 1, history: 2, negatives: 1},
	} {
		neuraltest.Gradients(t, z.tables(7), func(p *neural.Parameters[float64]) neuraltest.Network { return newNetwork(z, p) })
	}
}
