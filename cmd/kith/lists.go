package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kith-io/kith/durable"
	"github.com/kith-io/kith/similarity"
)

// listExtensions are the formats of neighbor lists, by extension.
var listExtensions = []string{".parquet", ".csv", ".jsonl"}

// namedLists are neighbor lists by dense id, with the keys of the ids. They are safe for concurrent use.
type namedLists interface {
	Keys() []string
	List(id uint32) []similarity.Neighbor
}

// checkPath refuses a path of a flag that writeWhole cannot write to, or whose extension is not of the given, before there
// is work to lose.
func checkPath(flag, path string, extensions []string) error {
	if !slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) {
		return usagef("--%s %s: the extension chooses the format; want %s", flag, path, alternatives(extensions))
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return usagef("--%s %s is not a file; name one", flag, path)
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || !st.IsDir() {
		return usagef("--%s %s: there is no folder %s; make it first", flag, path, filepath.Dir(path))
	}
	return nil
}

// writeLists writes lists to a file whose extension says the format: a row for each neighbor with the columns what
// ("item" or "user"), neighbor, rank from 1, and score, by dense id and rank. The bytes are a function of the lists alone.
func writeLists(path, what string, lists namedLists) error {
	return writeWhole(path, func(w io.Writer) error {
		switch strings.ToLower(filepath.Ext(path)) {
		case ".csv":
			return writeCSV(w, what, lists)
		case ".jsonl":
			return writeJSONL(w, what, lists)
		}
		return writeParquet(w, what, lists)
	})
}

// writeWhole writes a file that appears complete or not at all.
func writeWhole(path string, write func(w io.Writer) error) error {
	return writeMode(path, 0o666, write)
}

// writeMode is writeWhole for a file with the permissions of mode, less those that the process may not give. When it
// returns nil the file and its name are on the disk.
func writeMode(path string, mode fs.FileMode, write func(w io.Writer) error) (err error) {
	tmp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), os.Getpid()))
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			// Neither adds to what went wrong; the file may be closed, or have its name already.
			_, _ = f.Close(), os.Remove(tmp)
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// encodeKeys returns the keys as a text format writes them, so that each is encoded once.
func encodeKeys(keys []string, encode func(key string) ([]byte, error)) ([][]byte, error) {
	out := make([][]byte, len(keys))
	for i, key := range keys {
		var err error
		if out[i], err = encode(key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func csvKey(key string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	err := w.Write([]string{key})
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func jsonKey(key string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(key)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func writeCSV(w io.Writer, what string, lists namedLists) error {
	return writeText(w, what+",neighbor,rank,score\n", lists, csvKey, func(line, key, neighbor []byte, rank int, score float32) []byte {
		line = append(append(line, key...), ',')
		line = append(append(line, neighbor...), ',')
		line = append(strconv.AppendInt(line, int64(rank), 10), ',')
		return append(appendScore(line, score), '\n')
	})
}

func writeJSONL(w io.Writer, what string, lists namedLists) error {
	return writeText(w, "", lists, jsonKey, func(line, key, neighbor []byte, rank int, score float32) []byte {
		line = append(append(line, `{"`+what+`":`...), key...)
		line = append(append(line, `,"neighbor":`...), neighbor...)
		line = strconv.AppendInt(append(line, `,"rank":`...), int64(rank), 10)
		return append(appendScore(append(line, `,"score":`...), score), '}', '\n')
	})
}

// appendScore appends the shortest number that reads back as the same float32.
func appendScore(line []byte, score float32) []byte {
	return strconv.AppendFloat(line, float64(score), 'g', -1, 32)
}

func writeText(w io.Writer, head string, lists namedLists, encode func(string) ([]byte, error),
	format func(line, key, neighbor []byte, rank int, score float32) []byte,
) error {
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	keys, err := encodeKeys(lists.Keys(), encode)
	if err != nil {
		return err
	}
	var line []byte
	for id, key := range keys {
		for i, n := range lists.List(uint32(id)) {
			line = format(line[:0], key, keys[n.ID], i+1, n.Score)
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	}
	return nil
}
