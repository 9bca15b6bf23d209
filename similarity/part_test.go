package similarity

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPartsAreThoseOfEachRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRows(t)
		ends := rapid.SliceOfN(rapid.Uint32Range(0, uint32(r.NumItems)+2), 0, 6).Draw(t, "ends")
		slices.Sort(ends)
		firstUser := rapid.Uint32Range(0, 1000).Draw(t, "first user")
		parts := Parts(r, firstUser, ends)
		if len(parts) != len(ends) {
			t.Fatalf("%d parts for ends %v", len(parts), ends)
		}
		lo := uint32(0)
		for b, hi := range ends {
			if want := AppendPart(nil, r, firstUser, lo, hi); !bytes.Equal(want, parts[b]) {
				t.Fatalf("part of items [%d,%d):\n got %x\nwant %x", lo, hi, parts[b], want)
			}
			lo = hi
		}
	})
}

// TestPartsKeepWeights checks the form that parts take for their weights, and that they come back.
func TestPartsKeepWeights(t *testing.T) {
	many := make([]float32, 600)
	for k := range many {
		many[k] = float32(k) / 8
	}
	repeated := func(n int, weights ...float32) []float32 { return slices.Repeat(weights, n) }
	for _, c := range []struct {
		name    string
		weights []float32
		form    int
		// bytes that the weights take.
		size int
	}{
		{"ones", repeated(600, 1), 0, 0},
		{"one weight", repeated(600, 3), 1, 600 + 4},
		{"five weights", repeated(120, 1, 2, 3, 4, 5), 5, 600 + 20},
		{"signs of zero", repeated(300, 0, float32(math.Copysign(0, -1))), 2, 600 + 8},
		{"256 weights", slices.Concat(many[:256], many[:256]), 256, 512 + 1024},
		{"too many weights", many, partInFull, 2400},
		{"the last is too many", slices.Concat(many[:256], many[:256], many[256:257]), partInFull, 4 * 513},
		{"few entries", []float32{1, 2, 3}, partInFull, 12},
	} {
		r := &Rows{NumItems: len(c.weights) / 2, Start: []int64{0}, Weight: c.weights}
		ones := &Rows{NumItems: r.NumItems}
		for k := range c.weights { // two users, or three
			r.Item = append(r.Item, uint32(k%r.NumItems))
			if (k+1)%r.NumItems == 0 || k+1 == len(c.weights) {
				r.Start = append(r.Start, int64(k+1))
			}
		}
		ones.Start, ones.Item = r.Start, r.Item
		part := AppendPart(nil, r, 0, 0, uint32(r.NumItems))
		p, err := openPart(part)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		form := len(p.distinct)
		if form == 0 && p.weights != nil {
			form = partInFull
		}
		if got := len(part) - len(AppendPart(nil, ones, 0, 0, uint32(r.NumItems))); form != c.form || got > c.size+1 || got < c.size {
			t.Errorf("%s: form %d with %d bytes of weights, want %d with %d", c.name, form, got, c.form, c.size)
		}
		got := make([]float32, len(c.weights))
		if err := p.each(0, func(user, item uint32, w float32) { got[int(user)*r.NumItems+int(item)] = w }); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !slices.EqualFunc(got, c.weights, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%s: weights %v, want %v", c.name, got, c.weights)
		}
	}
}

func TestPartsWithWrongWeightsAreRefused(t *testing.T) {
	r := &Rows{NumItems: 4, Start: []int64{0, 4}, Item: []uint32{0, 1, 2, 3}, Weight: []float32{2, 2, 2, 2}}
	part := AppendPart(nil, r, 0, 0, 4)
	number := bytes.Clone(part)
	number[len(number)-sumBytes-1] = 1 // there is only number 0
	weight := bytes.Clone(part)
	copy(weight[len(weight)-sumBytes-8:], []byte{0, 0, 0xc0, 0x7f}) // not a number
	for _, damaged := range [][]byte{number, weight} {
		if _, err := NewBlock(0, 4, 1, [][]byte{sealed(damaged)}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("part %x: error %v, want ErrCorrupt", damaged, err)
		}
	}
}

func BenchmarkParts(b *testing.B) {
	for _, shape := range shapes {
		for _, ones := range []bool{true, false} {
			r := syntheticRows(shape.users, shape.items, shape.perUser, shape.shift, ones)
			bounds := borders(r, 1, false)
			name := shape.name + "/weighted"
			if ones {
				name = shape.name + "/ones"
			}
			b.Run(name+"/parts", func(b *testing.B) {
				b.ReportAllocs()
				bytes := 0
				for b.Loop() {
					bytes = 0
					for _, p := range Parts(r, 0, bounds[1:]) {
						bytes += len(p)
					}
				}
				b.ReportMetric(float64(bytes)/float64(len(r.Item)), "bytes/entry")
			})
			b.Run(name+"/each", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for n, hi := range bounds[1:] {
						AppendPart(nil, r, 0, bounds[n], hi)
					}
				}
				b.ReportMetric(float64(len(bounds)-1), "blocks")
			})
			b.Run(name+"/side", func(b *testing.B) {
				parts := make([][][]byte, len(bounds)-1)
				for n, p := range Parts(r, 0, bounds[1:]) {
					parts[n] = [][]byte{p}
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := NewSide(0, bounds[1:], uint32(r.NumUsers()), parts, Options{Measure: Cosine, K: 50}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*len(r.Item)), "ns/entry")
			})
		}
	}
}

// TestSidesAreThoseOfRows makes sides of the parts of several shards, at once and block by
// block, and compares with the rows that the parts were cut from.
func TestSidesAreThoseOfRows(t *testing.T) {
	for name, weights := range map[string]func(*rand.Rand) float32{
		"ones":  func(*rand.Rand) float32 { return 1 },
		"few":   func(rng *rand.Rand) float32 { return float32(rng.IntN(9)) - 2 },
		"many":  func(rng *rand.Rand) float32 { return rng.Float32() },
		"mixed": func(rng *rand.Rand) float32 { return float32(max(1, rng.IntN(600)-500)) * 0.5 },
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			r := syntheticRows(700, 90, 6, 5, false)
			for k := range r.Weight {
				r.Weight[k] = weights(rng)
			}
			ends := []uint32{1, 7, 40, 90}
			const first = 1 // block of the side
			parts := make([][][]byte, len(ends))
			for lo := 0; lo < 700; lo += 100 {
				shard := &Rows{NumItems: 90, Start: r.Start[lo : lo+101], Item: r.Item, Weight: r.Weight}
				for b, part := range Parts(shard, uint32(lo), ends) {
					parts[b] = append(parts[b], part)
				}
			}
			o := Options{Measure: Cosine}
			joined, err := NewSide(ends[first-1], ends[first:], 700, parts[first:], o)
			if err != nil {
				t.Fatal(err)
			}
			read, err := ReadSide(ends[first-1], ends[first:], 700, func(b int) ([][]byte, error) { return parts[first+b], nil }, o)
			if err != nil {
				t.Fatal(err)
			}
			// Blocks need not be cut at the same users.
			uneven := slices.Clone(parts)
			for b := 1; b < len(ends); b += 2 {
				uneven[b] = [][]byte{AppendPart(nil, r, 0, ends[b-1], ends[b])}
			}
			apart, err := NewSide(ends[first-1], ends[first:], 700, uneven[first:], o)
			if err != nil {
				t.Fatal(err)
			}
			for what, s := range map[string]*Side{"joined": joined, "read": read, "uneven": apart} {
				var buf []float32
				for u := range 700 {
					var items []uint32
					row, values := s.row(s.at[u], &buf)
					for _, e := range row {
						items = append(items, e>>8+ends[first-1])
					}
					lo, hi := r.window(u, ends[first-1], 90)
					if !slices.Equal(items, r.Item[lo:hi]) || !slices.Equal(values, r.Weight[lo:hi]) {
						t.Fatalf("%s: user %d has %v %v, want %v %v", what, u, items, values, r.Item[lo:hi], r.Weight[lo:hi])
					}
				}
				if !slices.Equal(s.squares, joined.squares) || !slices.Equal(s.users, joined.users) {
					t.Errorf("%s: norms differ", what)
				}
			}
		})
	}
}
