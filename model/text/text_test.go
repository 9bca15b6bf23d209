package text_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/model/text"
)

func TestTokens(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"Running shoes for the runners", []string{"run", "shoe", "runner"}},
		{"<b>Fast-wicking</b>, <br>quick <3 dry", []string{"fast", "wick", "quick", "3", "dri"}},
		{"ＧＯＲＥ－ＴＥＸ　Ｊａｃｋｅｔ", []string{"gore", "tex", "jacket"}},
		{"the women's cafés", []string{"women", "cafés"}},
		{"男士户外防水冲锋衣", []string{"男士", "户外", "防水", "冲锋衣", "冲锋"}},
		{"結婚的和尚未結婚的", []string{"結婚", "尚未", "結婚"}},
		{"iPhone15手机壳 蓝牙耳机", []string{"iphone15", "手机", "壳", "蓝牙", "耳机"}},
		{"乒乓球拍卖完了", []string{"乒乓球", "乒乓", "拍卖", "完"}},
		{"㐀㐁㐂", []string{"㐀㐁", "㐁㐂"}},
		{"㐀", []string{"㐀"}},
		{"ぬいぐるみ 인형", []string{"ぬいぐるみ", "인형"}},
	} {
		if got := text.Tokens(c.text); !slices.Equal(got, c.want) {
			t.Errorf("Tokens(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

// TestTokensOfAny: no text makes it panic, and none gives an empty token.
func TestTokensOfAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("防水冲锋衣㐀的<>/a'’ ＡÉ\u0301\xff")))).Draw(t, "text")
		for _, token := range text.Tokens(s) {
			if token == "" {
				t.Fatalf("Tokens(%q) has an empty one", s)
			}
		}
	})
}

// TestWeights has the numbers worked out by hand: of three documents a is in two and b in one; the mean length is 2.
func TestWeights(t *testing.T) {
	documents := [][]string{{"a", "a", "b"}, {"a"}, {"c", "c"}}
	for _, c := range []struct {
		w    text.Weighting
		a, b float64 // in the first document
	}{
		// (1+ln 2)(1+ln(4/3)), (1+ln 1)(1+ln(4/2))
		{text.TFIDF, 1.6931472 * 1.2876821, 1.6931472},
		// l = 3/2, so K1(1-B+B·l) = 1.2·1.375 = 1.65: ln(1+1.5/2.5)·2·2.2/3.65, ln(1+2.5/1.5)·2.2/2.65
		{text.BM25, 0.4700036 * 1.2054795, 0.9808293 * 0.8301887},
	} {
		m := text.Fit(documents, c.w, 1, 1)
		if want := []string{"a", "b", "c"}; !slices.Equal(m.Terms, want) {
			t.Fatalf("terms %q, want %q", m.Terms, want)
		}
		terms, weights := m.Vector(documents[0])
		if !slices.Equal(terms, []uint32{0, 1}) || math.Abs(float64(weights[0])-c.a) > 1e-6 || math.Abs(float64(weights[1])-c.b) > 1e-6 {
			t.Errorf("weighting %d: terms %v of weights %v, want 0 and 1 of %v and %v", c.w, terms, weights, c.a, c.b)
		}
	}
	if m := text.Fit(documents, text.TFIDF, 2, 1); !slices.Equal(m.Terms, []string{"a"}) {
		t.Errorf("terms of two documents or more are %q, want a", m.Terms)
	}
	if m := text.Fit(documents, text.TFIDF, 1, 0.5); !slices.Equal(m.Terms, []string{"b", "c"}) {
		t.Errorf("terms of at most half of the documents are %q, want b and c", m.Terms)
	}
	r := text.Fit(documents, text.BM25, 1, 1).Matrix(append(documents, nil, []string{"new"}))
	if err := r.Validate(); err != nil || !slices.Equal(r.Start, []int64{0, 2, 3, 4, 4, 4}) {
		t.Errorf("matrix with rows at %v, error %v, want 0 2 3 4 4 4", r.Start, err)
	}
}
