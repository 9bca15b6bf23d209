package text

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"sort"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

//go:embed dictionary.zst
var compressed []byte

// dictionary is words in ascending order, and what each costs on the way through a sentence: minus the logarithm of its share of all words.
type dictionary struct {
	bytes []byte   // of all words
	start []uint32 // of each word, and the end of the last
	cost  []float32
	// first has the range of the words that begin with a character.
	first map[rune][2]int32
	// unknown is the cost of a character that is no word.
	unknown float32
}

// words is the dictionary that is compiled in. It is read when first needed: about 0.1 s and 12 MB.
var words = sync.OnceValue(func() *dictionary {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic(fmt.Sprintf("text: dictionary: %v", err))
	}
	defer dec.Close()
	raw, err := dec.DecodeAll(compressed, nil)
	if err != nil {
		panic(fmt.Sprintf("text: dictionary: %v", err))
	}
	return readDictionary(raw)
})

// readDictionary reads what makedictionary.go wrote. It panics if raw is something else: it is part of the program.
func readDictionary(raw []byte) *dictionary {
	d := &dictionary{first: map[rune][2]int32{}}
	next := func() int {
		x, n := binary.Uvarint(raw)
		if n <= 0 {
			panic("text: dictionary: damaged")
		}
		raw = raw[n:]
		return int(x)
	}
	var word []byte
	var total float64
	for len(raw) > 0 {
		word = word[:next()]
		n := next()
		word, raw = append(word, raw[:n]...), raw[n:]
		r, _ := utf8.DecodeRune(word)
		at := int32(len(d.start))
		of, ok := d.first[r]
		if !ok {
			of[0] = at
		}
		d.first[r] = [2]int32{of[0], at + 1}
		d.start, d.bytes = append(d.start, uint32(len(d.bytes))), append(d.bytes, word...)
		count := float64(next())
		total += count
		d.cost = append(d.cost, float32(count))
	}
	d.start = append(d.start, uint32(len(d.bytes)))
	for i, count := range d.cost {
		d.cost[i] = float32(math.Log(total) - math.Log(float64(count)))
	}
	d.unknown = float32(math.Log(total) + 1)
	return d
}

func (d *dictionary) word(i int) []byte { return d.bytes[d.start[i]:d.start[i+1]] }

// prefixes calls f with the length in bytes, and the cost, of each word that s begins with, shorter ones first.
// Cost: O(length of the longest word · log(words of one first character)).
func (d *dictionary) prefixes(s []byte, f func(n int, cost float32)) {
	r, n := utf8.DecodeRune(s)
	of, ok := d.first[r]
	if !ok {
		return
	}
	lo, hi := int(of[0]), int(of[1])
	for {
		prefix := s[:n]
		lo += sort.Search(hi-lo, func(k int) bool { return bytes.Compare(d.word(lo+k), prefix) >= 0 })
		if lo >= hi || !bytes.HasPrefix(d.word(lo), prefix) {
			return
		}
		if len(d.word(lo)) == n {
			f(n, d.cost[lo])
		}
		if n == len(s) {
			return
		}
		_, more := utf8.DecodeRune(s[n:])
		n += more
	}
}

// has reports whether s is a word.
func (d *dictionary) has(s []byte) (found bool) {
	d.prefixes(s, func(n int, _ float32) { found = found || n == len(s) })
	return found
}

// cut calls f with the pieces of s, a run of Han characters: the words of the likeliest sentence, as if words followed each other by chance with the probabilities that
// the dictionary has. It is the shortest way through the graph of all words, as in jieba without its model of unknown words [sun2013]. known is false for
// a single character that is no word.
func (d *dictionary) cut(s []byte, f func(piece []byte, known bool)) {
	type step struct {
		cost  float32
		n     int32 // bytes of the first piece of the best way from here on
		known bool
	}
	best := make([]step, len(s)+1)
	for at := len(s); at > 0; {
		_, n := utf8.DecodeLastRune(s[:at])
		at -= n
		b := step{cost: d.unknown + best[at+n].cost, n: int32(n)}
		d.prefixes(s[at:], func(n int, cost float32) {
			if c := cost + best[at+n].cost; c < b.cost {
				b = step{c, int32(n), true}
			}
		})
		best[at] = b
	}
	for at := 0; at < len(s); {
		n := int(best[at].n)
		f(s[at:at+n], best[at].known)
		at += n
	}
}
