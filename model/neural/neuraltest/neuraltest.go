// Package neuraltest tests what all kinds of models of package neural have in common: their training, their gradients and their files.
package neuraltest

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/modeltest"
	"github.com/kith-io/kith/model/neural"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

// Losses is a model that tells how its training went.
type Losses interface {
	// Losses returns the mean loss of each iteration.
	Losses() []float64
}

// Train trains a kind and returns its file.
func Train(t testing.TB, k *train.Kind, given map[string]string, rows *similarity.Rows, times []int64, workers, threads int) []byte {
	t.Helper()
	s, err := model.ParseSettings(k.Parameters, given)
	if err != nil {
		t.Fatal(err)
	}
	file, err := train.Run(t.Context(), k, s, train.Split(rows, times, workers), train.Options{Workers: workers, Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Contract runs modeltest, with settings that find its structure and others that are quick for its many small matrices.
func Contract(t *testing.T, k *train.Kind, given, quick map[string]string) {
	blocks, _ := modeltest.Blocks()
	var once sync.Once // only the first model of blocks is asked about their structure
	modeltest.Run(t, func(rows *similarity.Rows) (modeltest.Recommender, error) {
		settings := quick
		if slices.Equal(rows.Start, blocks.Start) {
			once.Do(func() { settings = given })
		}
		s, err := model.ParseSettings(k.Parameters, settings)
		if err != nil {
			return nil, err
		}
		file, err := train.Run(t.Context(), k, s, train.Split(rows, nil, 1), train.Options{Workers: 1, Threads: 2})
		if err != nil {
			return nil, err
		}
		return k.Read(file)
	})
}

// Workers checks that one worker and three learn the tastes of modeltest.Blocks with falling losses, and that the same seed makes the same bytes with any number of threads.
func Workers(t *testing.T, k *train.Kind, given, quick map[string]string) {
	rows, right := modeltest.Blocks()
	for _, workers := range []int{1, 3} {
		file := Train(t, k, given, rows, nil, workers, 1)
		if !bytes.Equal(Train(t, k, quick, rows, nil, workers, 1), Train(t, k, quick, rows, nil, workers, 4)) {
			t.Errorf("%d workers: another number of threads gives another file", workers)
		}
		m, err := k.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		losses := m.(Losses).Losses()
		t.Logf("%d workers: losses %.3f", workers, losses)
		if len(losses) < 2 || !(losses[len(losses)-1] < 0.8*losses[0]) {
			t.Errorf("%d workers: losses %.3f, want the last well below the first", workers, losses)
		}
		found, of := 0, 0
		for u := range rows.NumUsers() {
			answer, err := m.Recommend(model.Query{User: -1, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], N: len(right[u])})
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
		// By chance it would be 3 of 39.
		if found*10 < of*9 {
			t.Errorf("%d workers: found %d of %d held-back items, want nine of ten", workers, found, of)
		}
	}
	other := map[string]string{"seed": "2"}
	for name, value := range quick {
		other[name] = value
	}
	if bytes.Equal(Train(t, k, quick, rows, nil, 1, 1), Train(t, k, other, rows, nil, 1, 1)) {
		t.Error("another seed gives the same file")
	}
}

// Network is a network with float64, as neural.Network.
type Network interface {
	Pass(e *neural.Examples, pieces []neural.Piece, rng *rand.Rand) (loss float64, terms int)
}

// Gradients compares the gradients of a whole network with differences of its loss, for parameters of some size. Networks must draw the same from the same source.
func Gradients(t *testing.T, tables []neural.Table, build func(p *neural.Parameters[float64]) Network) {
	t.Helper()
	rows := &similarity.Rows{NumItems: 7, Start: []int64{0, 4, 6, 9}, Item: []uint32{0, 1, 3, 5, 2, 3, 0, 4, 6}}
	data := train.Split(rows, []int64{5, 2, 9, 1, 4, 3, 1, 1, 1}, 1)[0]
	e := neural.NewExamples(data)
	e.Known = []uint32{0, 1, 2, 3, 4, 5, 6}
	pieces := []neural.Piece{{User: 0, From: 0, To: 4}, {User: 2, From: 1, To: 3}}
	var n Network
	p := neural.Build(tables, func(p *neural.Parameters[float64]) { n = build(p) })
	noise := rand.New(rand.NewPCG(1, 1))
	p.Start(noise, noise)
	for i := range p.Values() {
		p.Values()[i] += 0.4 * noise.NormFloat64()
	}
	loss := func() float64 {
		x, _ := n.Pass(e, pieces, rand.New(rand.NewPCG(2, 2)))
		return x
	}
	loss()
	grads := p.Grads()
	const step = 1e-5
	moved := 0
	for i := range p.Values() {
		x := p.Values()[i]
		p.Values()[i] = x + step
		up := loss()
		p.Values()[i] = x - step
		down := loss()
		p.Values()[i] = x
		want := (up - down) / (2 * step)
		if want != 0 {
			moved++
		}
		if math.Abs(grads[i]-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("gradient %d of %d is %v, differences give %v", i, len(grads), grads[i], want)
		}
	}
	if moved < len(grads)/3 {
		t.Errorf("only %d of %d parameters change the loss", moved, len(grads))
	}
}

// Seeds returns files for fuzzing of Read: a whole one and damaged ones. It is small.
func Seeds(t testing.TB, k *train.Kind, given map[string]string) [][]byte {
	rows := &similarity.Rows{NumItems: 4, Start: []int64{0, 2, 4, 6}, Item: []uint32{0, 1, 1, 2, 0, 2}}
	file := Train(t, k, given, rows, nil, 1, 1)
	flipped := bytes.Clone(file)
	flipped[len(flipped)-1] ^= 0x7f
	return [][]byte{file, file[:len(file)/2], file[:60], flipped, nil}
}

// Read checks that a file gives a model that answers, or an error matching neural.ErrCorrupt.
func Read(t *testing.T, k *train.Kind, file []byte) {
	m, err := k.Read(file)
	if err != nil {
		if !errors.Is(err, neural.ErrCorrupt) {
			t.Fatalf("error %v, want one matching ErrCorrupt", err)
		}
		return
	}
	for _, q := range []model.Query{{User: -1, N: 3}, {User: -1, Items: []uint32{0}, N: 3}, {User: 0, Items: []uint32{0, 2}, N: 3, WithSeen: true}} {
		answer, err := m.Recommend(q)
		if err != nil && !errors.Is(err, model.ErrQuery) {
			t.Fatalf("Recommend(%+v): %v", q, err)
		}
		for _, s := range answer {
			if math.IsNaN(s.Score) || math.IsInf(s.Score, 0) {
				t.Fatalf("Recommend(%+v) = %+v", q, answer)
			}
		}
	}
}

// Damage checks that Read refuses a file of a kind of which any byte before the values, or the length, is not as it was, unless what it then reads is a model.
func Damage(t *testing.T, k *train.Kind, given map[string]string) {
	file := Seeds(t, k, given)[0]
	for n := range len(file) {
		if _, err := k.Read(file[:n]); !errors.Is(err, neural.ErrCorrupt) {
			t.Fatalf("the first %d of %d bytes: error %v, want one matching ErrCorrupt", n, len(file), err)
		}
	}
	if _, err := k.Read(append(bytes.Clone(file), 0)); !errors.Is(err, neural.ErrCorrupt) {
		t.Errorf("one byte more: error %v, want one matching ErrCorrupt", err)
	}
	for i := range min(len(file), 2048) {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := bytes.Clone(file)
			damaged[i] ^= flip
			Read(t, k, damaged)
		}
	}
}
