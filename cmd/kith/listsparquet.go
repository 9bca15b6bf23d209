package main

import (
	"errors"
	"io"
	"runtime"

	"github.com/parquet-go/parquet-go"
)

// The rows of Parquet files.
type (
	itemRow struct {
		Item     string  `parquet:"item,dict"`
		Neighbor string  `parquet:"neighbor,dict"`
		Rank     int32   `parquet:"rank"`
		Score    float32 `parquet:"score"`
	}
	userRow struct {
		User     string  `parquet:"user,dict"`
		Neighbor string  `parquet:"neighbor,dict"`
		Rank     int32   `parquet:"rank"`
		Score    float32 `parquet:"score"`
	}
)

const (
	// groupRows is the number of rows in a row group, and groupsAtOnce how many are made at a time at most: some 30 MB each with their dictionaries.
	groupRows    = 1 << 20
	groupsAtOnce = 4
)

func writeParquet(w io.Writer, what string, lists namedLists) error {
	if what == "user" {
		return writeGroups[userRow](w, lists, groupRows)
	}
	return writeGroups[itemRow](w, lists, groupRows)
}

// writeGroups writes lists as rows like T, whole lists in row groups of up to so many rows, or one list. What takes time is to find each neighbor in the dictionary of its row group,
// so row groups are made side by side, and put into the file in their order.
func writeGroups[T any](w io.Writer, lists namedLists, most int) error {
	out := parquet.NewGenericWriter[T](w, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("kith", "", ""),
		parquet.SkipPageStatistics("neighbor")) // nearly all of the range in each page; who looks for one reads the index
	keys := lists.Keys()
	values := make([]parquet.Value, len(keys))
	for id, key := range keys {
		values[id] = parquet.ValueOf(key)
	}
	type group struct {
		rows *parquet.ConcurrentRowGroupWriter
		err  chan error
	}
	var making []group // in order, those that are not in the file yet
	var free []*parquet.ConcurrentRowGroupWriter
	commit := func() error {
		g := making[0]
		making = making[1:]
		if err := <-g.err; err != nil {
			return err
		}
		_, err := g.rows.Commit()
		free = append(free, g.rows)
		return err
	}
	var err error
	atOnce := min(runtime.GOMAXPROCS(0), groupsAtOnce)
	for lo := 0; lo < len(keys) && err == nil; {
		hi, rows := lo, 0
		for ; hi < len(keys); hi++ {
			n := len(lists.List(uint32(hi)))
			if rows > 0 && rows+n > most {
				break
			}
			rows += n
		}
		if len(making) >= atOnce {
			err = commit()
		}
		g := group{err: make(chan error, 1)}
		if last := len(free) - 1; last >= 0 {
			g.rows, free = free[last], free[:last]
		} else {
			g.rows = out.BeginRowGroup()
		}
		go func(lo, hi int) { g.err <- writeGroup(g.rows, lists, values, uint32(lo), uint32(hi)) }(lo, hi)
		making = append(making, g)
		lo = hi
	}
	for len(making) > 0 {
		err = errors.Join(err, commit())
	}
	if err != nil {
		return err
	}
	return out.Close()
}

// chunkRows is the number of rows that a row group is given at once, or a list more.
const chunkRows = 4096

// writeGroup writes the lists of the ids [lo, hi) into a row group, column by column. values are the keys of all ids.
func writeGroup(group *parquet.ConcurrentRowGroupWriter, lists namedLists, values []parquet.Value, lo, hi uint32) error {
	var columns [4][]parquet.Value
	for id := lo; id < hi; id++ {
		for rank, n := range lists.List(id) {
			for c, v := range [4]parquet.Value{values[id], values[n.ID], parquet.Int32Value(int32(rank + 1)), parquet.FloatValue(n.Score)} {
				columns[c] = append(columns[c], v)
			}
		}
		if len(columns[0]) < chunkRows && id+1 < hi {
			continue
		}
		for c, column := range group.ColumnWriters() {
			if _, err := column.WriteRowValues(columns[c]); err != nil {
				return err
			}
			columns[c] = columns[c][:0]
		}
	}
	return group.Flush()
}
