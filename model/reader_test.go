package model_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/kith-io/kith/model"
)

func TestReader(t *testing.T) {
	b := append([]byte("magic"), 1, 0, 0, 0)
	b = model.Append(b, math.Pi, -1)
	b = binary.AppendUvarint(b, 300)
	b = model.Append(b, int32(-7), 8, 9)
	b = append(b, 5, 6, 7)
	r := model.NewReader(b)
	r.Magic("magic")
	r.Version(1)
	if x, y, n := r.Float64(), r.Float64(), r.Uvarint(); x != math.Pi || y != -1 || n != 300 {
		t.Errorf("read %v, %v and %d, want pi, -1 and 300", x, y, n)
	}
	if x := model.Numbers[int32](r, 3); !slices.Equal(x, []int32{-7, 8, 9}) {
		t.Errorf("read %v, want -7, 8 and 9", x)
	}
	if x, y := r.Uint8(), r.Take(1, 2); x != 5 || !bytes.Equal(y, []byte{6, 7}) || &y[0] != &b[len(b)-2] {
		t.Errorf("read %d and %v, want 5 and the last two of the bytes themselves", x, y)
	}
	if err := r.End(); err != nil {
		t.Error(err)
	}
}

func TestReaderOfDamage(t *testing.T) {
	for _, c := range []struct {
		name, want string
		bytes      string
		read       func(r *model.Reader)
	}{
		{"another magic", `it does not begin with "kith"`, "kit", func(r *model.Reader) { r.Magic("kith") }},
		{"another version", "version 2, want 1: build the model again", "\x02\x00\x00\x00", func(r *model.Reader) { r.Version(1) }},
		{"a short number", "it ends early", "123", func(r *model.Reader) { r.Uint32() }},
		{"a product beyond all numbers", "it ends early", "12345678", func(r *model.Reader) { r.Take(1<<62, 8) }},
		{"an endless number", "it ends early, or within a number", strings.Repeat("\xff", 20), func(r *model.Reader) { r.Uvarint() }},
		{"a size out of bounds", "rank is 49, want 1 to 9", "1", func(r *model.Reader) { r.Within("rank", int64(r.Uint8()), 1, 9) }},
		{"too many bytes", "2 bytes are left over", "123", func(r *model.Reader) { r.Uint8() }},
		{"two errors", "the first", "123", func(r *model.Reader) {
			r.Fail("the %s", "first")
			r.Version(1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := model.NewReader([]byte(c.bytes))
			c.read(r)
			if err := r.End(); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if r.Len() > 0 || r.Uint64() != 0 || len(r.Take(1, 1)) > 0 || model.Numbers[float32](r, 1<<60) != nil {
				t.Error("something is read after the error")
			}
		})
	}
}

// FuzzReader reads what ops say, and compares with a reader that copies byte by byte.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6}, []byte("0123456789012345678901234567890123456789"))
	f.Add([]byte{4, 5, 4}, []byte{0x80, 1, 0xff})
	f.Fuzz(func(t *testing.T, ops, b []byte) {
		r, twin := model.NewReader(b), bytes.NewReader(b)
		failed := false
		for _, op := range ops {
			var got, want uint64
			var err error
			switch op % 7 {
			case 0:
				var x uint8
				err = binary.Read(twin, binary.LittleEndian, &x)
				got, want = uint64(r.Uint8()), uint64(x)
			case 1:
				var x uint16
				err = binary.Read(twin, binary.LittleEndian, &x)
				got, want = uint64(r.Uint16()), uint64(x)
			case 2:
				var x uint32
				err = binary.Read(twin, binary.LittleEndian, &x)
				got, want = uint64(r.Uint32()), uint64(x)
			case 3:
				var x float64
				err = binary.Read(twin, binary.LittleEndian, &x)
				got, want = math.Float64bits(r.Float64()), math.Float64bits(x)
			case 4:
				want, err = binary.ReadUvarint(twin)
				got = r.Uvarint()
			case 5:
				var x int64
				x, err = binary.ReadVarint(twin)
				got, want = uint64(r.Varint()), uint64(x)
			case 6:
				n := uint64(op / 7)
				section := make([]byte, 3*n)
				_, err = io.ReadFull(twin, section)
				if x := r.Take(n, 3); err == nil && !bytes.Equal(x, section) {
					t.Fatalf("section %x, want %x", x, section)
				}
			}
			if failed = failed || err != nil; failed {
				want = 0
				twin.Reset(nil)
			}
			if got != want || failed != (r.Err() != nil) || r.Len() != twin.Len() {
				t.Fatalf("operation %d: read %d with error %v and %d bytes left, want %d, %v and %d", op%7, got, r.Err(), r.Len(), want, failed, twin.Len())
			}
		}
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	b := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { b = model.Append(b[:0], uint32(len(b)), 7, 8) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestView(t *testing.T) {
	b := model.Append(make([]byte, 1), 1.5, -2, 1e300)[1:]
	for _, at := range [][]byte{b, append(slices.Clone(b), 1, 2, 3)} { // which begins at an odd address, and which has a rest
		if x := model.View[float64](at); !slices.Equal(x, []float64{1.5, -2, 1e300}) {
			t.Errorf("view is %v, want 1.5, -2 and 1e300", x)
		}
	}
	if x := model.Bytes([]float64{1.5, -2, 1e300}); !bytes.Equal(x, b) {
		t.Errorf("bytes %x, want %x", x, b)
	}
}
