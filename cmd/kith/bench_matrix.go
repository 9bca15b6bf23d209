package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/similarity"
	"github.com/kith-io/kith/source/synthetic"
)

// matrixExtensions are the formats of matrices, by extension.
var matrixExtensions = []string{".parquet", ".csv"}

// benchTable reads or makes the matrix.
func (a *app) benchTable(ctx context.Context, b *neighborBench, p *progress) (*fusion.Table, error) {
	if b.kind == "" {
		p.set("reading", 0, 0)
		table, reports, err := fusion.ReadTable(ctx, b.mappings, b.weights, time.Now().UnixMilli(), b.dead)
		a.noteWeightless(reports)
		err = errors.Join(err, b.dead.Close())
		a.noteRejected(b.dead)
		return table, err
	}
	p.set("generating", 0, 0)
	m, err := synthetic.DrawMatrix(ctx, b.kind, b.scale, b.seed)
	if errors.Is(err, synthetic.ErrMatrix) {
		return nil, &usageError{fmt.Errorf("--kind, --scale: %w", err)}
	}
	if err != nil {
		return nil, err
	}
	table := &fusion.Table{
		Users: numberKeys(len(m.Start) - 1), Items: numberKeys(m.NumItems), Start: m.Start, Item: m.Item, Weight: m.Weight,
	}
	if b.write != "" {
		p.set("writing", 0, 0)
		err = writeMatrix(b.write, table)
	}
	return table, err
}

// numberKeys returns the numbers below n as keys, ascending by bytes as a table wants them. A file with these numbers gives
// the same table.
func numberKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	slices.Sort(keys)
	return keys
}

// matrixRow is a row of a Parquet file.
type matrixRow struct {
	User   int32   `parquet:"user"`
	Item   int32   `parquet:"item"`
	Weight float32 `parquet:"weight"`
}

// writeMatrix writes a table whose keys come from numberKeys.
func writeMatrix(path string, t *fusion.Table) error {
	return writeWhole(path, func(w io.Writer) error {
		if strings.ToLower(filepath.Ext(path)) == ".csv" {
			return writeMatrixCSV(w, t)
		}
		return writeMatrixParquet(w, t)
	})
}

func writeMatrixParquet(w io.Writer, t *fusion.Table) error {
	users, userErr := keyNumbers(t.Users)
	items, itemErr := keyNumbers(t.Items)
	if err := errors.Join(userErr, itemErr); err != nil {
		return err
	}
	out := parquet.NewGenericWriter[matrixRow](w, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(groupRows),
		parquet.CreatedBy("kith", "", ""))
	var rows []matrixRow
	for u, user := range users {
		rows = rows[:0]
		for k := t.Start[u]; k < t.Start[u+1]; k++ {
			rows = append(rows, matrixRow{user, items[t.Item[k]], t.Weight[k]})
		}
		if _, err := out.Write(rows); err != nil {
			return err
		}
	}
	return out.Close()
}

// keyNumbers returns the numbers that stand in keys.
func keyNumbers(keys []string) ([]int32, error) {
	numbers := make([]int32, len(keys))
	for i, key := range keys {
		n, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return nil, err
		}
		numbers[i] = int32(n)
	}
	return numbers, nil
}

func writeMatrixCSV(w io.Writer, t *fusion.Table) error {
	if _, err := io.WriteString(w, "user,item,weight\n"); err != nil {
		return err
	}
	var line []byte
	for u, key := range t.Users {
		for k := t.Start[u]; k < t.Start[u+1]; k++ {
			line = append(append(line[:0], key...), ',')
			line = append(append(line, t.Items[t.Item[k]]...), ',')
			line = append(appendScore(line, t.Weight[k]), '\n')
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// byPopularity returns the rows of a table with the items numbered as a build numbers them.
func byPopularity(t *fusion.Table) *similarity.Rows { return tableRows(t).ByPopularity() }

func tableRows(t *fusion.Table) *similarity.Rows {
	return &similarity.Rows{NumItems: len(t.Items), Start: t.Start, Item: t.Item, Weight: t.Weight}
}
