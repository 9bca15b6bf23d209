package artifact_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/similarity"
)

const (
	benchItems = 1_000_000
	benchLists = 100_000
	benchK     = 50
)

func benchKeys() []string {
	keys := make([]string, benchItems)
	for i := range keys {
		keys[i] = fmt.Sprintf("item-%09d", i)
	}
	return keys
}

func benchDictionary(b *testing.B) (path string, keys []string) {
	b.Helper()
	s, keys := openStore(b), benchKeys()
	info := must(s.WriteDictionary(version, keys, make([]uint64, len(keys))))(b)
	return s.Path(version, info.Name), keys
}

func benchListsFile(b *testing.B) (path string) {
	b.Helper()
	s := openStore(b)
	items := make([]uint32, benchLists)
	lists := &similarity.Lists{Start: []int64{0}}
	for i := range items {
		items[i] = uint32(16 * i) // one of 16 partitions
		for k := range uint32(benchK) {
			lists.Entries = append(lists.Entries, similarity.Neighbor{ID: 16*k + 1, Score: 1 / float32(k+1)})
		}
		lists.Start = append(lists.Start, int64(len(lists.Entries)))
	}
	info := must(s.WriteLists(version, 0, items, lists))(b)
	return s.Path(version, info.Name)
}

// scatter visits [0, n) in an order that no cache can guess.
func scatter(i, n int) int { return int(uint32(i)*2654435761) % n }

func BenchmarkDictionaryID(b *testing.B) {
	path, keys := benchDictionary(b)
	d := must(artifact.OpenDictionary(path))(b)
	defer func() { _ = d.Close() }()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := d.ID(keys[scatter(i, len(keys))]); !ok {
			b.Fatal("missing")
		}
	}
}

func BenchmarkDictionaryKey(b *testing.B) {
	path, keys := benchDictionary(b)
	d := must(artifact.OpenDictionary(path))(b)
	defer func() { _ = d.Close() }()
	kept := make([]string, 1) // as an answer would, or the copy is optimized away
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		kept[0] = d.Key(uint32(scatter(i, len(keys))))
	}
}

func BenchmarkListsList(b *testing.B) {
	l := must(artifact.OpenLists(benchListsFile(b)))(b)
	defer func() { _ = l.Close() }()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if list, ok := l.List(uint32(16 * scatter(i, benchLists))); !ok || len(list) != benchK {
			b.Fatal("missing")
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	dictionary, _ := benchDictionary(b)
	for _, bench := range []struct {
		name, path string
		use        func(string) error
	}{
		{"dictionary", dictionary, func(path string) error {
			d, err := artifact.OpenDictionary(path)
			if err != nil {
				return err
			}
			return d.Close()
		}},
		{"lists", benchListsFile(b), func(path string) error {
			l, err := artifact.OpenLists(path)
			if err != nil {
				return err
			}
			return l.Close()
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(must(os.Stat(bench.path))(b).Size())
			for b.Loop() {
				if err := bench.use(bench.path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
