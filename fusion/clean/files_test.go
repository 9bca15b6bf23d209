package clean

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/fusion/record"
)

// TestSpool writes records of all types and reads them back, over several blocks.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	value := rapid.OneOf(
		rapid.Just(record.Value{}),
		rapid.Map(rapid.String(), record.OfText),
		rapid.Map(rapid.Float64(), record.OfNumber),
		rapid.Map(rapid.Int64Range(-1<<54, 1<<54), func(i int64) record.Value { return record.OfNumber(float64(i)) }),
		rapid.Map(rapid.Bool(), record.OfBool),
		rapid.Map(rapid.Int64Range(-8_640_000_000_000_000, 8_640_000_000_000_000), record.OfTime),
		rapid.Map(rapid.IntRange(0, 30_000), func(n int) record.Value { return record.OfText(string(bytes.Repeat([]byte{'x'}, n))) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(0, 4).Draw(t, "width")
		s, err := newSpool(dir, "spool", width)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.remove(); err != nil {
				t.Error(err)
			}
		}()
		var want []record.Record
		for range rapid.IntRange(0, 30).Draw(t, "records") {
			r := record.Record{Place: record.Place{
				Source: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "source"), File: rapid.SampledFrom([]string{"", "f"}).Draw(t, "file"),
				Line: rapid.Int64().Draw(t, "line"), Part: rapid.IntRange(0, 3).Draw(t, "part"),
			}, Values: rapid.SliceOfN(value, width, width).Draw(t, "values")}
			want = append(want, r)
			if err := s.add(&r); err != nil {
				t.Fatal(err)
			}
		}
		reader, err := s.records(width + 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			got, err := reader.next()
			if err != nil {
				t.Fatal(err)
			}
			if got.Place != w.Place || !slices.Equal(got.Values, w.Values) {
				t.Fatalf("record %d is %v, want %v", i, got, w)
			}
		}
		if _, err := reader.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last: %v", err)
		}
	})
}

// TestSorter sorts so much in so little memory that runs are merged in several rounds, and compares with sorting in memory.
func TestSorter(t *testing.T) {
	type entry struct {
		key     uint64
		payload string
	}
	r := rand.New(rand.NewPCG(1, 2))
	s := newSorter(t.TempDir(), "sorter", 1)
	var want []entry
	for range 30_000 {
		e := entry{r.Uint64N(1000), string(bytes.Repeat([]byte{byte('a' + r.IntN(3))}, r.IntN(20)))}
		want = append(want, e)
		if err := s.add(e.key, []byte(e.payload)); err != nil {
			t.Fatal(err)
		}
	}
	runs := len(s.runs)
	slices.SortFunc(want, func(a, b entry) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.payload, b.payload)) })
	for range 2 { // cursors may follow each other
		c, err := s.cursor()
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if !c.next() || c.key != w.key || string(c.payload) != w.payload {
				t.Fatalf("entry %d is %d %q, want %d %q; %v", i, c.key, c.payload, w.key, w.payload, c.err)
			}
		}
		if c.next() || c.err != nil {
			t.Fatalf("after the last: %v", c.err)
		}
	}
	if runs < 100 || len(s.runs) > maxFanIn || *s.spilled < 2*s.n {
		t.Errorf("%d runs became %d, %d bytes were written", runs, len(s.runs), *s.spilled)
	}
	name := s.file.f.Name()
	if err := errors.Join(s.remove(), s.remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// TestDamage changes each byte of a file in turn, and cuts it off: all is found, or changes nothing.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s, err := newSpool(dir, "spool", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	}()
	for i := range 3 {
		r := record.Record{Place: record.Place{Source: "s", Line: int64(i)}, Values: []record.Value{record.OfText("text"), record.OfNumber(1.5)}}
		if err := s.add(&r); err != nil {
			t.Fatal(err)
		}
		if err := s.writer.flush(); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(dir, "spool")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	read := func() error {
		s.writer = newBlockWriter(s.file, spoolBlock)
		r, err := s.records(2)
		for err == nil {
			_, err = r.next()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := s.file.f.WriteAt(bad, 0); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d: got %v, want %v", i, err, ErrCorrupt)
		}
	}
	if _, err := s.file.f.WriteAt(good, 0); err != nil {
		t.Fatal(err)
	}
	for size := range good {
		if err := s.file.f.Truncate(int64(size)); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: got %v, want %v", size, err, ErrCorrupt)
		}
		if _, err := s.file.f.WriteAt(good, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzRecord reads any bytes as a record: what is read is written again and read alike.
func FuzzRecord(f *testing.F) {
	first := record.Record{
		Place:  record.Place{Source: "s", File: "f", Line: 3, Part: 1},
		Values: []record.Value{record.OfText("白"), record.OfNumber(0.1), record.OfTime(5)}, Rules: record.RuleBit(2) | record.RuleBit(100),
	}
	f.Add(appendRecord(nil, &first, record.Place{}, true), uint8(3))
	f.Add([]byte{0, 0, 0, 2, 0, 0}, uint8(0))
	f.Add([]byte{1, 2, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, width uint8) {
		got := record.Record{Values: make([]record.Value, width)}
		if _, err := readRecord(string(b), &got); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
			return
		}
		again := record.Record{Values: make([]record.Value, width)}
		rest, err := readRecord(string(appendRecord(nil, &got, record.Place{}, true)), &again)
		if err != nil || rest != "" || got.Place != again.Place || got.Rules != again.Rules || !slices.Equal(got.Values, again.Values) {
			t.Fatalf("%v became %v, %q is left, %v", got, again, rest, err)
		}
	})
}

// FuzzEntry reads any bytes as entries of a run.
func FuzzEntry(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 2, 'a', 'b'})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			_, payload, rest, err := readEntry(b)
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if len(payload)+len(rest) >= len(b) {
				t.Fatalf("%d bytes are left of %d", len(rest), len(b))
			}
			b = rest
		}
	})
}

// FuzzBlock opens any bytes as a block.
func FuzzBlock(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00aXXXXXXXX"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if content, err := openBlock(b); err == nil && len(content) != len(b)-blockHead-blockSum || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d bytes, %v", len(content), err)
		}
	})
}
