package worker

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestBoard compares a board with the list of all that was put, for workers that are up to one step apart: each sees what was there before its step, and
// nothing that nobody can see takes memory.
func TestBoard(t *testing.T) {
	type entry struct {
		worker, step uint32
		name         string
		b            []byte // nil for a drop
	}
	rapid.Check(t, func(t *rapid.T) {
		b := newBoard(1 << 20)
		var all []entry
		seen := func(worker, step uint32, name string) []byte {
			for _, e := range slices.Backward(all) {
				if e.worker == worker && e.name == name && e.step < step {
					return e.b
				}
			}
			return nil
		}
		const workers = 3
		names := rapid.SampledFrom([]string{"a", "b"})
		for step := uint32(1); step <= 4; step++ {
			for _, worker := range rapid.Permutation([]uint32{0, 1, 2}).Draw(t, "order") {
				b.settle(worker, step)
				for range rapid.IntRange(0, 4).Draw(t, "acts") {
					name := names.Draw(t, "name")
					if rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
						b.drop(worker, step, name)
						all = append(all, entry{worker, step, name, nil})
						continue
					}
					x := rapid.SliceOfN(rapid.Byte(), 1, 5).Draw(t, "bytes")
					if err := b.put(worker, step, name, x); err != nil {
						t.Fatal(err)
					}
					all = append(all, entry{worker, step, name, x})
				}
				for of := range uint32(workers) {
					name := names.Draw(t, "got")
					got, err := b.get(of, step, name)
					if want := seen(of, step, name); string(got) != string(want) || (err == nil) != (want != nil) {
						t.Fatalf("worker %d, step %d gets %q of %d: %q, %v, want %q", worker, step, name, of, got, err, want)
					}
				}
			}
		}
		bytes := int64(0)
		for worker := range uint32(workers) {
			b.settle(worker, 5)
			for _, name := range []string{"a", "b"} {
				bytes += int64(len(seen(worker, 5, name)))
			}
		}
		if b.bytes != bytes {
			t.Fatalf("counts %d bytes, want %d", b.bytes, bytes)
		}
	})
}

// TestBoardIsBounded: what is put in the place of something else counts once it is gone, and an error says what to do.
func TestBoardIsBounded(t *testing.T) {
	b := newBoard(10)
	if err := b.put(1, 1, "x", make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := b.put(1, 1, "x", make([]byte, 9)); err != nil {
		t.Errorf("in the same place and step: %v", err)
	}
	err := b.put(2, 1, "y", make([]byte, 2))
	if err == nil || !strings.Contains(err.Error(), "--model-memory-mib") {
		t.Errorf("too much: error is %v, want one that names the flag", err)
	}
	if err := b.put(1, 2, "x", make([]byte, 2)); err == nil {
		t.Error("what others may still get does not count")
	}
	b.drop(1, 2, "x")
	b.settle(1, 3)
	if err := b.put(2, 3, "y", make([]byte, 10)); err != nil {
		t.Errorf("behind a drop: %v", err)
	}
}
