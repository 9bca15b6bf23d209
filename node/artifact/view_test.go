package artifact

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/similarity"
)

func TestViewsEqualTheirTwins(t *testing.T) {
	t.Run("byte", func(t *testing.T) { checkViews(t, rapid.Byte()) })
	t.Run("int64", func(t *testing.T) { checkViews(t, rapid.Int64()) })
	t.Run("uint32", func(t *testing.T) { checkViews(t, rapid.Uint32()) })
	t.Run("uint64", func(t *testing.T) { checkViews(t, rapid.Uint64()) })
	t.Run("float32", func(t *testing.T) { checkViews(t, rapid.Float32()) })
	t.Run("Neighbor", func(t *testing.T) {
		checkViews(t, rapid.Custom(func(t *rapid.T) similarity.Neighbor {
			return similarity.Neighbor{ID: rapid.Uint32().Draw(t, "id"), Score: rapid.Float32().Draw(t, "score")}
		}))
	})
}

func checkViews[T element](t *testing.T, elements *rapid.Generator[T]) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(elements).Draw(t, "elements")
		encoded := encode(want)
		if got := section(want); !bytes.Equal(got, encoded) {
			t.Fatalf("section gives %x, encode %x", got, encoded)
		}
		if diff := cmp.Diff(decode[T](encoded), want); diff != "" {
			t.Fatalf("decode -got +want:\n%s", diff)
		}
		shifted := append([]byte{0}, encoded...)[1:] // not aligned
		for _, b := range [][]byte{encoded, shifted} {
			if diff := cmp.Diff(append([]T{}, view[T](b)...), want); diff != "" {
				t.Fatalf("view -got +want:\n%s", diff)
			}
		}
	})
}

func TestViewSharesMemory(t *testing.T) {
	if !littleEndian {
		t.Skip("needs little endian")
	}
	s := []similarity.Neighbor{{ID: 1, Score: 2}}
	v := view[similarity.Neighbor](section(s))
	if &v[0] != &s[0] {
		t.Error("view of an aligned section is a copy")
	}
}
