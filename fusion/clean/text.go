package clean

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"

	"github.com/kith-io/kith/fusion/record"
)

// Steps of Text.
const (
	TextControls = "controls" // control and format characters go, zero-width ones among them; tabs and ends of lines are blanks
	TextNFKC     = "nfkc"     // one form for characters that are the same, wide Latin and narrow Katakana among them
	TextWidth    = "width"    // Latin letters narrow and Katakana wide, and nothing else; part of nfkc
	TextFold     = "fold"     // case folding: for comparing, not for showing
	TextCollapse = "collapse" // runs of blanks become one blank
	TextTrim     = "trim"     // no blanks at either end
)

// Text brings texts into one form by Unicode's tables (the version is that of golang.org/x/text).
//
// Joiners (U+200C, U+200D) are format characters too: emoji that are made of several come apart, and Persian words are written
// together. Leave controls out where that matters.
type Text struct {
	Fields []string `yaml:"fields"`
	// Steps, in whatever order they are listed, are done in that of the constants. None means controls, nfkc, collapse, trim.
	Steps []string `yaml:"steps"`
	// EmptyNull makes texts that end empty missing.
	EmptyNull bool `yaml:"empty_null"`
}

func (*Text) kind() string        { return "text" }
func (s *Text) targets() []string { return s.Fields }

func (s *Text) check() error {
	if err := needFields(s.Fields); err != nil {
		return err
	}
	for _, step := range s.Steps {
		if err := oneOf("steps", step, TextControls, TextNFKC, TextWidth, TextFold, TextCollapse, TextTrim); err != nil {
			return err
		}
	}
	return nil
}

func (s *Text) build(_ *env, fields []record.Field) (rule, []record.Field, error) {
	at, err := findAll(fields, s.Fields, record.Text)
	if err != nil {
		return nil, nil, err
	}
	steps := s.Steps
	if len(steps) == 0 {
		steps = []string{TextControls, TextNFKC, TextCollapse, TextTrim}
	}
	has := func(step string) bool { return slices.Contains(steps, step) }
	return &textRule{
		at: at, emptyNull: s.EmptyNull, controls: has(TextControls), nfkc: has(TextNFKC), width: has(TextWidth), fold: has(TextFold),
		collapse: has(TextCollapse), trim: has(TextTrim), caser: cases.Fold(),
	}, fields, nil
}

// textRule brings texts into one form.
type textRule struct {
	at                                                     []int
	emptyNull, controls, nfkc, width, fold, collapse, trim bool
	caser                                                  cases.Caser
}

func (t *textRule) apply(_ int64, r *record.Record, c *counter) (string, error) {
	for _, at := range t.at {
		v := r.Values[at]
		if v.Type() != record.Text {
			continue
		}
		text := v.Text()
		if !t.clean(text) {
			text = t.form(text)
		}
		if text == "" && t.emptyNull {
			c.set(r, at, record.Value{})
		} else {
			c.set(r, at, record.OfText(text))
		}
	}
	return "", nil
}

// clean reports whether a text surely is in form already. It allocates nothing, as most texts are.
func (t *textRule) clean(s string) bool {
	blank, ascii := true, true // before the begin as after a blank
	for i, r := range s {
		if r >= utf8.RuneSelf {
			ascii = false
			if r == utf8.RuneError || unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf) || t.fold && !caseless(r) || t.width && r >= 0xff00 {
				return false
			}
			blank = false
			continue
		}
		switch {
		case r == ' ':
			if blank && (i == 0 && t.trim || i > 0 && t.collapse) {
				return false
			}
			blank = true
			continue
		case r < ' ' || r == 0x7f:
			return false
		case t.fold && 'A' <= r && r <= 'Z':
			return false
		}
		blank = false
	}
	if t.trim && blank && s != "" {
		return false
	}
	return ascii || !t.nfkc || norm.NFKC.QuickSpanString(s) == len(s)
}

// caseless reports whether a character of a large script surely has no case: ideographs, Kana and Hangul.
func caseless(r rune) bool {
	return 0x2e80 <= r && r < 0xa640 || 0xac00 <= r && r <= 0xd7a3
}

// form brings a text into form. Steps may make work for earlier ones (folding for nfkc, nfkc for blanks), so they are repeated until
// nothing changes.
func (t *textRule) form(s string) string {
	for range maxForms {
		before := s
		if t.controls {
			s = strings.Map(dropControls, s)
		}
		if t.nfkc {
			s = norm.NFKC.String(s)
		}
		if t.width {
			s = width.Fold.String(s)
		}
		if t.fold {
			s = t.caser.String(s)
		}
		if t.collapse {
			s = collapse(s)
		}
		if t.trim {
			s = strings.TrimSpace(s)
		}
		if s == before {
			break
		}
	}
	return s
}

// maxForms bounds the repetitions; two do for all texts that we know of.
const maxForms = 8

func dropControls(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return r
	case unicode.In(r, unicode.Cc, unicode.Cf):
		return -1
	}
	return r
}

// collapse makes one blank of each run of them.
func collapse(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	blank := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			if !blank {
				b.WriteByte(' ')
			}
			blank = true
			continue
		}
		blank = false
		b.WriteRune(r)
	}
	return b.String()
}
