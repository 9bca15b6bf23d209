package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/model/dense"
)

// vectorExtensions are the formats of vectors, by extension.
var vectorExtensions = []string{".parquet", ".jsonl"}

// vectorLine is the longest line of vectors: a key, and the most numbers in the longest form.
const vectorLine = 6*catalog.MaxKeyBytes + 32*dense.MaxDim

// vectorRow is a line or row of a file of vectors.
type vectorRow struct {
	Item   string    `json:"item" parquet:"item"`
	Vector []float32 `json:"vector" parquet:"vector,list"`
}

// vectorTable is what a file of vectors has, row by row.
type vectorTable struct {
	items []string
	seen  map[string]bool
	dim   int
	data  []float32
}

// add takes a row, numbered from 1 for errors.
func (t *vectorTable) add(n int, row vectorRow) error {
	switch {
	case row.Item == "":
		return fmt.Errorf("row %d: no item; want item and vector", n)
	case t.seen[row.Item]:
		return fmt.Errorf("row %d: item %s is there twice", n, printable(row.Item))
	case len(row.Vector) == 0 || len(row.Vector) > dense.MaxDim:
		return fmt.Errorf("row %d: item %s has a vector of %d numbers; want 1 to %d", n, printable(row.Item), len(row.Vector), dense.MaxDim)
	case t.dim != 0 && len(row.Vector) != t.dim:
		return fmt.Errorf("row %d: item %s has a vector of %d numbers, those before of %d", n, printable(row.Item), len(row.Vector), t.dim)
	}
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	t.seen[row.Item], t.dim = true, len(row.Vector)
	t.items, t.data = append(t.items, row.Item), append(t.data, row.Vector...)
	return nil
}

// readVectors reads a file whose extension says the format: lines of JSON, or the columns item and vector (a list of floats or doubles) of Parquet.
func readVectors(ctx context.Context, path string) (*vectorTable, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	var t vectorTable
	if strings.ToLower(filepath.Ext(path)) == ".parquet" {
		err = t.readParquet(ctx, f)
	} else {
		err = t.readLines(ctx, f)
	}
	if err == nil && len(t.items) == 0 {
		err = errors.New("no vectors")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &t, nil
}

func (t *vectorTable) readLines(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(contextReader{ctx, in})
	lines.Buffer(nil, vectorLine)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var row vectorRow
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return fmt.Errorf(`row %d: want {"item": "i1", "vector": [0.5, 1]}: %w`, n, err)
		}
		if err := t.add(n, row); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (t *vectorTable) readParquet(ctx context.Context, f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, st.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	item, vector := -1, -1
	for i, path := range file.Schema().Columns() {
		switch path[0] {
		case "item":
			item = i
		case "vector":
			vector = i
		}
	}
	if item < 0 || vector < 0 {
		return errors.New("want the columns item and vector")
	}
	n := 0
	for _, group := range file.RowGroups() {
		if err := t.readGroup(ctx, group.Rows(), item, vector, &n); err != nil {
			return err
		}
	}
	return nil
}

// parquetRows is how many rows are read at a time.
const parquetRows = 64

func (t *vectorTable) readGroup(ctx context.Context, rows parquet.Rows, item, vector int, n *int) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	buffer := make([]parquet.Row, parquetRows)
	for ctx.Err() == nil {
		got, err := rows.ReadRows(buffer)
		for _, values := range buffer[:got] {
			*n++
			var row vectorRow
			for _, v := range values {
				switch {
				case v.Column() == item && v.Kind() == parquet.ByteArray:
					row.Item = string(v.ByteArray())
				case v.Column() == item:
					return fmt.Errorf("row %d: the item is no text", *n)
				case v.Column() != vector:
				case v.Kind() == parquet.Float:
					row.Vector = append(row.Vector, v.Float())
				case v.Kind() == parquet.Double:
					row.Vector = append(row.Vector, float32(v.Double()))
				default:
					return fmt.Errorf("row %d: a number of the vector is not there, or neither a float nor a double", *n)
				}
			}
			if err := t.add(*n, row); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// writeVectors writes what readVectors reads.
func writeVectors(path string, rows []vectorRow) error {
	return writeWhole(path, func(w io.Writer) error {
		if strings.ToLower(filepath.Ext(path)) == ".parquet" {
			out := parquet.NewGenericWriter[vectorRow](w, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("kith", "", ""))
			if _, err := out.Write(rows); err != nil {
				return err
			}
			return out.Close()
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for i := range rows {
			if err := e.Encode(rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// zero reports whether all numbers of a vector are 0.
func zero(v []float32) bool {
	sum := 0.0
	for _, x := range v {
		sum += math.Abs(float64(x))
	}
	return sum == 0
}
