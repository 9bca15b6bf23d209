// Command trainer trains a model on rows of numbers and writes its file and its answers, for scripts/bench-models to hold beside those of other programs.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/kinds"
	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/similarity"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "trainer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	input := flag.String("input", "", "file with a line for each user: the numbers of the items, ascending")
	items := flag.Int("items", 0, "number of items")
	name := flag.String("model", "", "model, as in ease(regularization=400)")
	workers := flag.Int("workers", 1, "workers that share the users")
	threads := flag.Int("threads", 1, "threads of all workers together")
	file := flag.String("file", "", "where the file of the model goes")
	answers := flag.String("answers", "", "where the answers go: for each user a line with the numbers of the items, best first")
	n := flag.Int("n", 10, "length of answers")
	features := flag.String("features", "", "file with a line for each item: the numbers of its features, ascending")
	numFeatures := flag.Int("num-features", 0, "number of features")
	flag.Parse()

	kindName, given, err := model.ParseName(*name)
	if err != nil {
		return err
	}
	kind, err := train.Find(kinds.All, kindName)
	if err != nil {
		return err
	}
	if kind.Read == nil {
		return fmt.Errorf("%s is made of other models; want one that is not", kindName)
	}
	settings, err := kind.ParseSettings(given)
	if err != nil {
		return err
	}
	rows, err := read(*input, *items)
	if err != nil {
		return err
	}
	data := train.Split(rows, nil, *workers)
	if *features != "" {
		of, err := read(*features, *numFeatures)
		if err != nil {
			return err
		}
		for _, d := range data {
			d.Features = of
		}
	}
	began := time.Now()
	b, err := train.Run(ctx, kind, settings, data, train.Options{Workers: *workers, Threads: *threads})
	if err != nil {
		return err
	}
	fit := time.Since(began)
	if err := os.WriteFile(*file, b, 0o644); err != nil {
		return err
	}
	m, err := kind.Read(b)
	if err != nil {
		return err
	}
	began = time.Now()
	if err := answer(m, rows, *answers, *n); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"fit": fit.Seconds(), "answers": time.Since(began).Seconds()})
}

func read(name string, items int) (rows *similarity.Rows, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	rows = &similarity.Rows{NumItems: items, Start: []int64{0}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		for word := range strings.FieldsSeq(lines.Text()) {
			id, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				return nil, err
			}
			rows.Item = append(rows.Item, uint32(id))
		}
		rows.Start = append(rows.Start, int64(len(rows.Item)))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return rows, rows.Validate()
}

func answer(m train.Model, rows *similarity.Rows, name string, n int) error {
	var out []byte
	for u := range rows.NumUsers() {
		top, err := m.Recommend(model.Query{User: u, Items: rows.Item[rows.Start[u]:rows.Start[u+1]], N: n})
		if err != nil {
			return err
		}
		for _, s := range top {
			out = append(strconv.AppendUint(out, uint64(s.Item), 10), ' ')
		}
		out = append(out, '\n')
	}
	return os.WriteFile(name, out, 0o644)
}
