package identity

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/text/unicode/norm"
)

// unit says that one of a unit is so many of a smaller one.
type unit struct {
	name   string
	factor float64
}

// units are those that titles write in several ways, by what they are after lower case.
var units = map[string]unit{
	"litre": {"ml", 1000}, //nolint:misspell // titles have the British spelling
	"l":     {"ml", 1000}, "liter": {"ml", 1000}, "升": {"ml", 1000}, "cl": {"ml", 10}, "dl": {"ml", 100}, "ml": {"ml", 1}, "毫升": {"ml", 1},
	"kg": {"g", 1000}, "公斤": {"g", 1000}, "千克": {"g", 1000}, "g": {"g", 1}, "gr": {"g", 1}, "克": {"g", 1},
	"m": {"mm", 1000}, "米": {"mm", 1000}, "cm": {"mm", 10}, "厘米": {"mm", 10}, "mm": {"mm", 1}, "毫米": {"mm", 1},
	"tb": {"gb", 1000}, "gb": {"gb", 1}, "inch": {"in", 1}, "in": {"in", 1}, "寸": {"in", 1}, "英寸": {"in", 1},
	"pack": {"pcs", 1}, "pcs": {"pcs", 1}, "pc": {"pcs", 1}, "pieces": {"pcs", 1}, "件": {"pcs", 1}, "个": {"pcs", 1}, "只": {"pcs", 1},
}

// script is which letters a part of a title has.
type script uint8

const (
	alphabetic script = iota // letters of alphabets, and all that is no letter
	ideographic
	scripts
)

// normalTitle is a title made ready for comparison.
type normalTitle struct {
	words [scripts][]string
	// numbers are the numbers of the title with their units, sorted.
	numbers []string
}

// normalize writes titles alike: width (NFKC), case, accents, punctuation; numbers with units in the smallest unit; synonyms by the table, word by word
// for alphabets and as parts of runs for ideographs.
func (c *TitleConfig) normalize(title string) normalTitle {
	var out normalTitle
	title = strings.ToLower(norm.NFKC.String(strings.ToValidUTF8(title, " ")))
	title = letters.Replace(plainLetters(title))
	words := split(title)
	for i := 0; i < len(words); i++ {
		w := words[i]
		if x, err := strconv.ParseFloat(w, 64); err == nil && w[0] >= '0' && w[0] <= '9' {
			name := ""
			if i+1 < len(words) {
				if u, ok := units[words[i+1]]; ok {
					x, name = x*u.factor, u.name
					i++
				}
			}
			out.numbers = append(out.numbers, strconv.FormatFloat(x, 'g', 9, 64)+name)
			continue
		}
		s := alphabetic
		if r := []rune(w)[0]; isIdeograph(r) {
			s = ideographic
			for _, p := range c.ideographs {
				w = strings.ReplaceAll(w, p.from, p.to)
			}
		} else if to, ok := c.words[w]; ok {
			w = to
		}
		if w != "" {
			out.words[s] = append(out.words[s], strings.Fields(w)...)
		}
	}
	slices.Sort(out.numbers)
	return out
}

func isIdeograph(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// split cuts text into words of one class each: numbers, letters, ideographs. A point or comma between digits belongs to the number, as a point;
// one of thousands, before exactly three digits after a comma, goes.
func split(s string) []string {
	const (
		other = iota
		digit
		letter
		ideograph
	)
	class := func(r rune) int {
		switch {
		case r >= '0' && r <= '9':
			return digit
		case isIdeograph(r):
			return ideograph
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			return letter
		}
		return other
	}
	var out []string
	var word strings.Builder
	last := other
	runes := []rune(s)
	for i, r := range runes {
		k := class(r)
		if (r == '.' || r == ',') && last == digit && i+1 < len(runes) && class(runes[i+1]) == digit {
			if r == ',' && thousands(runes[i+1:]) {
				continue
			}
			if !strings.Contains(word.String(), ".") {
				word.WriteByte('.')
				continue
			}
		}
		if k != last && word.Len() > 0 {
			out = append(out, word.String())
			word.Reset()
		}
		if last = k; k != other {
			word.WriteRune(r)
		}
	}
	if word.Len() > 0 {
		out = append(out, word.String())
	}
	return out
}

func thousands(after []rune) bool {
	n := 0
	for n < len(after) && after[n] >= '0' && after[n] <= '9' {
		n++
	}
	return n == 3
}

// shingles appends the hashes of the character n-grams of words, sorted and distinct. Each word stands for itself, with its ends marked, so that the
// order of words does not matter; ideographs, which have no blanks, are taken as runs, without marks.
func shingles(dst []uint64, words []string, n int, marked bool) []uint64 {
	from := len(dst)
	var at []int // where runes begin, and the end
	for _, w := range words {
		if marked {
			w = "^" + w + "$"
		}
		at = at[:0]
		for i := range w {
			at = append(at, i)
		}
		at = append(at, len(w))
		if len(at)-1 <= n {
			dst = append(dst, xxhash.Sum64String(w))
			continue
		}
		for i := 0; i+n < len(at); i++ {
			dst = append(dst, xxhash.Sum64String(w[at[i]:at[i+n]]))
		}
	}
	slices.Sort(dst[from:])
	return dst[:from+len(slices.Compact(dst[from:]))]
}
