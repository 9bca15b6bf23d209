package sasrec

import (
	"testing"

	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/neural/neuraltest"
)

// small learns the structure of tests in a moment; quick is for tests that look at nothing learned.
var (
	small = map[string]string{"iterations": "25", "factors": "16", "blocks": "1", "heads": "2", "rate": "0.01", "batch": "256", "length": "12", "negatives": "20"}
	quick = map[string]string{"iterations": "2", "factors": "4", "blocks": "1"}
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
		"all items": {factors: 4, blocks: 1, heads: 2, length: 5, negatives: 9},
		"drawn":     {factors: 4, blocks: 2, heads: 1, length: 3, negatives: 3, dropout: 0.2},
		"binary":    {factors: 4, blocks: 1, heads: 2, length: 5, negatives: 2, binary: true},
	} {
		t.Run(name, func(t *testing.T) {
			neuraltest.Gradients(t, z.tables(7), func(p *neural.Parameters[float64]) neuraltest.Network { return newNetwork(z, p) })
		})
	}
}
