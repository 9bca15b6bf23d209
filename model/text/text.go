// Package text makes tokens of texts about products in Chinese, English, or both, and weighs them.
//
// A text is brought to one form first: compatibility forms such as full width letters are made plain (NFKC), and letters small. Marks up to the next > after a < are left out where they look
// like those of HTML. Then
//
//   - Han characters are cut into the words of the likeliest sentence, by a dictionary of 589,000 words, simplified and traditional; of a word of three or more characters
//     the words of two and three characters inside it are tokens too, so that 冲锋衣 meets 冲锋; characters that are in no word are tokens in pairs, as they stand
//     beside each other, and alone where there is one;
//   - other letters and digits are words. Those of a-z are cut to their stem by the English stemmer of Snowball [porter2001];
//   - the most common words of both languages are left out.
//
// Tokens are in the order of the text, those inside a word after it.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
	"golang.org/x/text/unicode/norm"
)

// MaxWord is the longest word in bytes that is a token; longer ones are codes and remains of markup.
const MaxWord = 64

// Tokens returns the tokens of a text. It is safe for concurrent use. Cost: O(length); the first Han character of the process adds about 0.1 s and 12 MB for the dictionary.
func Tokens(s string) []string {
	b := []byte(strings.ToLower(norm.NFKC.String(stripMarks(s))))
	var out []string
	for at := 0; at < len(b); {
		r, n := utf8.DecodeRune(b[at:])
		switch {
		case unicode.Is(unicode.Han, r):
			end := span(b, at, func(r rune) bool { return unicode.Is(unicode.Han, r) })
			out = appendHan(out, b[at:end])
			at = end
		case wordRune(r):
			end := span(b, at, func(r rune) bool { return wordRune(r) && !unicode.Is(unicode.Han, r) || r == '\'' || r == '’' })
			out = appendWord(out, string(b[at:end]))
			at = end
		default:
			at += n
		}
	}
	return out
}

// stripMarks puts a space in the place of the tags of HTML.
func stripMarks(s string) string {
	if !strings.Contains(s, "<") {
		return s
	}
	var out strings.Builder
	for open := true; open; {
		before, rest, found := strings.Cut(s, "<")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		s = rest
		end := strings.IndexAny(rest, "<>")
		if open = end >= 0; open && rest[end] == '>' {
			if name := strings.TrimPrefix(rest[:end], "/"); name != "" && ('a' <= name[0]|0x20 && name[0]|0x20 <= 'z') {
				out.WriteByte(' ')
				s = rest[end+1:]
				continue
			}
		}
		out.WriteByte('<')
	}
	out.WriteString(s)
	return out.String()
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// span returns the end of the run of characters from at on for which in is true.
func span(b []byte, at int, in func(rune) bool) int {
	for at < len(b) {
		r, n := utf8.DecodeRune(b[at:])
		if !in(r) {
			break
		}
		at += n
	}
	return at
}

func appendWord(out []string, word string) []string {
	word = strings.Trim(strings.ReplaceAll(word, "’", "'"), "'")
	if word == "" || len(word) > MaxWord || stop[word] {
		return out
	}
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz'") == "" {
		env := snowballstem.NewEnv(word)
		english.Stem(env)
		word = env.Current()
	}
	return append(out, word)
}

// appendHan appends the tokens of a run of Han characters.
func appendHan(out []string, s []byte) []string {
	d := words()
	var unknown []rune // characters beside each other that are in no word
	flush := func() {
		if len(unknown) == 1 {
			out = append(out, string(unknown))
		}
		for i := 1; i < len(unknown); i++ {
			out = append(out, string(unknown[i-1:i+1]))
		}
		unknown = unknown[:0]
	}
	d.cut(s, func(piece []byte, known bool) {
		if !known {
			unknown = append(unknown, []rune(string(piece))...)
			return
		}
		flush()
		if stop[string(piece)] {
			return
		}
		out = append(out, string(piece))
		runes := []rune(string(piece))
		for n := 2; n <= 3 && n < len(runes); n++ {
			for i := 0; i+n <= len(runes); i++ {
				if part := string(runes[i : i+n]); d.has([]byte(part)) {
					out = append(out, part)
				}
			}
		}
	})
	flush()
	return out
}

// stop are words that say nothing of a product. The English ones are those of the list of Snowball that have no other meaning [porter2001].
var stop = func() map[string]bool {
	m := map[string]bool{}
	for word := range strings.FieldsSeq(`
		a about above after again against all am an and any are as at be because been before being below between both but by could did do does doing down during
		each few for from further had has have having he her here hers herself him himself his how i if in into is it it's its itself just me more most my myself no nor not of
		off on once only or other our ours ourselves out over own same she should so some such than that that's the their theirs them themselves then there these they this those
		through to too under until up very was we were what when where which while who whom why will with would you your yours yourself yourselves
		的 了 和 与 與 及 或 是 在 有 也 都 就 而 之 于 於 对 對 为 為 以 等 从 從 到 把 被 让 讓 给 給 向 由 这 這 那 此 该 該 其 它 他 她 我 你 您 们 們 我们 我們 你们 你們 他们 他們
		一个 一個 这个 這個 那个 那個 很 更 最 不 没 沒 没有 沒有 可以 可 能 会 會 要 还 還 又 并 並 但 但是 如果 因为 因為 所以 以及 着 著 地 得 吗 嗎 呢 吧 啊 个 個 上 下 中 里 裡 裏`) {
		m[word] = true
	}
	return m
}()
