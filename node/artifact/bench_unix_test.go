//go:build unix

package artifact_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/similarity"
)

// cpuTime is what the process has used, for what waits for the disk most of the time.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchEntries runs f, which goes over entries, and reports the processor time of each.
func benchEntries(b *testing.B, entries int, f func() error) {
	b.Helper()
	b.ReportAllocs()
	from := cpuTime(b)
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-from)/float64(b.N)/float64(entries), "cpu-ns/entry")
}

// benchRows are a sixteenth of the rows of a million users.
func benchRows() (users []string, rows *similarity.Rows) {
	rng := rand.New(rand.NewPCG(1, 2))
	rows = &similarity.Rows{NumItems: 500_000, Start: []int64{0}}
	for u := range 62_500 {
		users = append(users, fmt.Sprintf("user %08d", u))
		item := uint32(0)
		for range 1 + rng.IntN(40) {
			item += 1 + rng.Uint32N(10_000)
			rows.Item, rows.Weight = append(rows.Item, item), append(rows.Weight, float32(1+rng.IntN(5)))
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return users, rows
}

func BenchmarkWriteRows(b *testing.B) {
	s := openStore(b)
	users, rows := benchRows()
	benchEntries(b, len(rows.Item), func() error {
		_, err := s.WriteRows(version, 0, 0, users, rows)
		return err
	})
}

func BenchmarkOpenRows(b *testing.B) {
	s := openStore(b)
	users, rows := benchRows()
	info := must(s.WriteRows(version, 0, 0, users, rows))(b)
	benchEntries(b, len(rows.Item), func() error {
		r, err := artifact.OpenRows(s.Path(version, info.Name))
		if err != nil {
			return err
		}
		return r.Close()
	})
}

// BenchmarkListsWriter writes lists as a build does, some thousand at a time.
func BenchmarkListsWriter(b *testing.B) {
	const items, piece = 32_768, 4096
	s := openStore(b)
	rng := rand.New(rand.NewPCG(1, 2))
	ids := make([]uint32, items)
	lists := make([]*similarity.Lists, items/piece)
	for i := range ids {
		ids[i] = uint32(16 * i)
	}
	for n := range lists {
		l := &similarity.Lists{Start: []int64{0}}
		for range piece {
			for k := range benchK {
				l.Entries = append(l.Entries, similarity.Neighbor{ID: rng.Uint32N(500_000)<<4 | 1, Score: 1 / float32(k+1)})
			}
			l.Start = append(l.Start, int64(len(l.Entries)))
		}
		lists[n] = l
	}
	benchEntries(b, items*benchK, func() error {
		w, err := s.CreateLists(version, 0)
		if err != nil {
			return err
		}
		defer w.Abort()
		for n, l := range lists {
			if err := w.Add(ids[n*piece:][:piece], l); err != nil {
				return err
			}
		}
		_, err = w.Commit()
		return err
	})
}
