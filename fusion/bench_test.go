package fusion

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// benchFile writes a file like that of MovieLens: rows of user, item, rating
// and time, by user or in random order, and returns its path.
func benchFile(b *testing.B, rows int, byUser bool) string {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.2, 20, 26000)
	text := []byte("userId,movieId,rating,timestamp\n")
	users := max(1, rows/144)
	for i := range rows {
		user := i / 144
		if !byUser {
			user = r.IntN(users)
		}
		text = strconv.AppendInt(text, int64(user)+1, 10)
		text = strconv.AppendUint(append(text, ','), zipf.Uint64()+1, 10)
		text = strconv.AppendFloat(append(text, ','), float64(r.IntN(10)+1)/2, 'f', 1, 64)
		text = strconv.AppendInt(append(text, ','), 1_000_000_000+r.Int64N(400_000_000), 10)
		text = append(text, '\n')
	}
	path := filepath.Join(b.TempDir(), "ratings.csv")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	return path
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkReadTable(b *testing.B) {
	for _, order := range []string{"user", "random"} {
		for _, rows := range []int{1e5, 2e6} {
			b.Run(fmt.Sprintf("order=%s/rows=%d", order, rows), func(b *testing.B) {
				m := Mapping{Path: benchFile(b, rows, order == "user")}
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := ReadTable(b.Context(), []Mapping{m}, DefaultWeights(), 0, nil); err != nil {
						b.Fatal(err)
					}
				}
				perRow(b, rows)
			})
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	const rows = 1e5
	m := Mapping{Path: benchFile(b, rows, true)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Events(b.Context(), m, nil, 0, func([]Event) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, rows)
}
