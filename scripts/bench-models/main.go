// Bench-models trains factors on a generated matrix and prints how long an iteration takes, as JSON. als.py runs it beside the library
// implicit on the same matrix.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/factors"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func main() {
	users := flag.Int("users", 6040, "users")
	items := flag.Int("items", 3706, "items")
	entries := flag.Int("entries", 1_000_000, "about how many entries")
	threads := flag.Int("threads", 2, "goroutines")
	write := flag.String("write", "", "write the matrix to this file and end: users, items, entries and row starts as int64, ids as uint32")
	settings := flag.String("model", "als", "the model, such as als(factors=128)")
	flag.Parse()
	if err := run(*users, *items, *entries, *threads, *write, *settings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(users, items, entries, threads int, write, name string) error {
	rows := generate(users, items, entries)
	if write != "" {
		return save(rows, write)
	}
	kind, given, err := model.ParseName(name)
	if err != nil {
		return err
	}
	k, err := train.Find([]*train.Kind{factors.ALS}, kind)
	if err != nil {
		return err
	}
	s, err := model.ParseSettings(k.Parameters, given)
	if err != nil {
		return err
	}
	var stamps []time.Time
	_, err = train.Run(context.Background(), k, s, train.Split(rows, nil, 1), train.Options{
		Threads: threads, Progress: func(float64) { stamps = append(stamps, time.Now()) },
	})
	if err != nil {
		return err
	}
	// The steps are deal, the start, two for each iteration, and the end.
	var seconds []float64
	for i := 2; i+2 < len(stamps); i += 2 {
		seconds = append(seconds, stamps[i+2].Sub(stamps[i]).Seconds())
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"seconds": seconds, "start": stamps[2].Sub(stamps[0]).Seconds()})
}

// generate makes rows of very different lengths, of items of very different popularity. Equal arguments give equal rows.
func generate(users, items, entries int) *similarity.Rows {
	rng := rand.New(rand.NewPCG(1, uint64(users)))
	rows := &similarity.Rows{NumItems: items, Start: []int64{0}}
	mean := float64(entries) / float64(users) / math.Exp(0.5)
	for range users {
		n := min(items/2, 1+int(mean*math.Exp(rng.NormFloat64())))
		row := make([]uint32, n)
		for i := range row {
			row[i] = uint32(float64(items) * math.Pow(rng.Float64(), 2.5))
		}
		slices.Sort(row)
		rows.Item = append(rows.Item, slices.Compact(row)...)
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	return rows
}

func save(rows *similarity.Rows, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, x := range []any{[]int64{int64(rows.NumUsers()), int64(rows.NumItems), int64(len(rows.Item))}, rows.Start, rows.Item} {
		if err := binary.Write(w, binary.LittleEndian, x); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
