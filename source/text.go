package source

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// openText makes r read the text in, whose file name without compression
// extension is name. Function seek returns the input from a byte on, and is nil if it can only be read over.
func (r *Reader) openText(in io.Reader, seek func(int64) (io.Reader, error), name string, o Options) error {
	maxRow := o.MaxRowBytes
	if maxRow == 0 {
		maxRow = DefaultMaxRowBytes
	}
	b := newLineBuffer(in, maxRow)
	b.seek = seek
	for b.end < sampleBytes {
		if !b.fill() {
			break
		}
	}
	if b.err != nil && !errors.Is(b.err, io.EOF) {
		return b.err
	}
	for range o.Skip {
		if b.pos == b.end {
			break
		}
		if _, err := b.skipLine(); err != nil {
			return err
		}
	}
	if err := checkText(b.buf[b.pos:min(b.end, b.pos+sampleBytes)], o.Separator); err != nil {
		return err
	}
	sample := sampleLines(b.buf[b.pos:b.end], b.err != nil)
	if o.Format == Auto {
		r.format = Delimited
		if o.Separator == "" && (isJSONName(name) || isJSONLine(sample)) {
			r.format = JSONLines
		}
	}
	if r.format == JSONLines || o.Format == Auto && o.Separator == "" {
		if err := checkDocument(sample, name); err != nil {
			return err
		}
	}
	if r.format == JSONLines {
		return r.openJSON(b, o)
	}
	r.sep = o.Separator
	switch {
	case r.sep != "":
	case r.format == Delimited:
		r.sep = detectSeparator(sample, name, o.NoQuote)
	default:
		r.sep = detectLineSeparator(sample, name)
	}
	d := newDelimited(b, r.sep, o.NoQuote)
	if r.format != Delimited {
		r.columns, r.width = []string{"user", "item"}, 2
		r.rows = &lines{d: d, baskets: r.format == Baskets}
		return nil
	}
	rows := sampleRows(sample, r.sep, o.NoQuote)
	if len(rows) > 0 {
		r.width = len(rows[0])
	}
	if o.Header == HeaderYes || o.Header == HeaderAuto && looksLikeHeader(rows, o.KnownName) {
		rec, err := d.next()
		var bad *RowError
		switch {
		case errors.Is(err, io.EOF):
		case errors.As(err, &bad):
			return fmt.Errorf("%w: the header cannot be read: %w", ErrCorrupt, bad)
		case err != nil:
			return err
		default:
			for _, f := range rec.Fields {
				r.columns = append(r.columns, strings.TrimSpace(string(f)))
			}
			r.width = len(r.columns)
			if err := checkWidth(r.width); err != nil {
				return err
			}
			if !o.Ragged {
				d.width = r.width
			}
		}
	}
	r.rows = d
	return nil
}

const (
	sampleBytes = 64 << 10 // looked at to detect the separator and the header
	sampleMax   = 100      // rows of it
)

// sampleLines cuts the first lines of data, leaving out blank ones and, unless
// data is all there is, the last, cut one.
func sampleLines(data []byte, all bool) []string {
	text := string(data[:min(len(data), sampleBytes)])
	if !all || len(data) > sampleBytes {
		if i := strings.LastIndexByte(text, '\n'); i >= 0 {
			text = text[:i]
		}
	}
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if out = append(out, line); len(out) == sampleMax {
			break
		}
	}
	return out
}

// sampleRows splits sampled lines with the real splitter. Rows that it refuses are left out.
func sampleRows(sample []string, sep string, noQuote bool) [][]string {
	text := []byte(strings.Join(sample, "\n"))
	d := newDelimited(&lineBuffer{buf: text, end: len(text), err: io.EOF, max: DefaultMaxRowBytes, line: 1}, sep, noQuote)
	var out [][]string
	for {
		rec, err := d.next()
		var bad *RowError
		switch {
		case errors.As(err, &bad):
			continue
		case err != nil:
			return out
		}
		row := make([]string, len(rec.Fields))
		for i, f := range rec.Fields {
			row[i] = string(f)
		}
		out = append(out, row)
	}
}

// detectSeparator returns the separator that cuts the most sampled rows into
// one and the same number (2 or more) of fields. Among equals the one of the
// file's extension wins, then the order tab, "::", ";", "|", ",", spaces. A .csv file may
// be separated by semicolons, with commas in its numbers: between these two, more fields win.
func detectSeparator(sample []string, name string, noQuote bool) string {
	candidates := []string{"\t", "::", ";", "|", ",", Spaces}
	single := "," // for a single column
	switch {
	case strings.HasSuffix(name, ".csv"):
		candidates = append([]string{","}, candidates...)
	case isTabName(name):
		candidates = append([]string{"\t"}, candidates...)
		single = "\t"
	}
	best, most, width := single, 0, 0
	for _, sep := range candidates {
		counts := map[int]int{}
		for _, row := range sampleRows(sample, sep, noQuote) {
			counts[len(row)]++
		}
		agree, fields := 0, 0
		for n, rows := range counts {
			if n >= 2 && (rows > agree || rows == agree && n < fields) {
				agree, fields = rows, n
			}
		}
		if agree > most || agree > 0 && agree == most && best == "," && sep == ";" && fields > width {
			best, most, width = sep, agree, fields
		}
	}
	return best
}

func isTabName(name string) bool {
	return strings.HasSuffix(name, ".tsv") || strings.HasSuffix(name, ".tab")
}

// detectLineSeparator is for the formats Lines and Baskets, whose lines differ
// in length: the separator of the extension, or the first of tab, ";", "|" and
// "," that occurs in half of the lines, or else spaces.
func detectLineSeparator(sample []string, name string) string {
	switch {
	case strings.HasSuffix(name, ".csv"):
		return ","
	case isTabName(name):
		return "\t"
	}
	for _, sep := range []string{"\t", ";", "|", ","} {
		n := 0
		for _, line := range sample {
			if strings.Contains(line, sep) {
				n++
			}
		}
		if n > 0 && 2*n >= len(sample) {
			return sep
		}
	}
	return Spaces
}

// looksLikeHeader implements HeaderAuto; see Options.KnownName.
func looksLikeHeader(rows [][]string, known func(string) bool) bool {
	if len(rows) == 0 {
		return false
	}
	first := rows[0]
	numbers, names := 0, 0
	for _, f := range first {
		f = strings.TrimSpace(f)
		if isNumber(f) {
			numbers++
		}
		if known != nil && known(strings.ToLower(f)) {
			names++
		}
	}
	if names > 0 && 2*numbers < len(first) {
		return true
	}
	if numbers > 0 || len(rows) < 2 {
		return false
	}
	for i := range first {
		n := 0
		for _, row := range rows[1:] {
			if i < len(row) && isNumber(strings.TrimSpace(row[i])) {
				n++
			}
		}
		if n == len(rows)-1 && strings.TrimSpace(first[i]) != "" {
			return true
		}
	}
	return false
}

func isNumber(s string) bool {
	if s == "" || s[0] > '9' {
		return false // not NaN, Inf
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// lines turns "user item item ..." and "item item ..." into records of a user
// and an item. Empty fields, as separators at the end make them, are no items.
type lines struct {
	d       *delimited
	baskets bool

	rec  Record   // the line being handed out
	from Position // of it
	pos  int      // the next item in it
	user []byte
	pair [2][]byte
	text []byte // scratch of raw
}

// raw returns the user and the item only: a line may have very many items.
func (l *lines) raw() []byte {
	l.text = append(l.text[:0], l.pair[0]...)
	l.text = append(append(l.text, l.d.sep...), l.pair[1]...)
	return l.text
}

func (l *lines) close() error { return nil }

func (l *lines) at() Position {
	if l.pos < len(l.rec.Fields) {
		return l.from
	}
	return l.d.at()
}

func (l *lines) skipTo(p Position) error {
	l.rec.Fields = nil
	return l.d.skipTo(p)
}

func (l *lines) next() (Record, error) {
	for {
		for l.pos < len(l.rec.Fields) {
			i := l.pos
			l.pos++
			if len(l.rec.Fields[i]) == 0 {
				continue
			}
			part := i
			if !l.baskets {
				part--
			}
			l.pair = [2][]byte{l.user, l.rec.Fields[i]}
			return Record{Line: l.rec.Line, Part: part, Fields: l.pair[:]}, nil
		}
		l.rec.Fields = nil
		l.from = l.d.here()
		rec, err := l.d.next()
		if err != nil {
			return Record{}, err
		}
		if l.baskets {
			l.user, l.pos = strconv.AppendInt(l.user[:0], rec.Line, 10), 0
		} else {
			l.user, l.pos = rec.Fields[0], 1
		}
		if !slices.ContainsFunc(rec.Fields[l.pos:], func(f []byte) bool { return len(f) > 0 }) {
			return Record{}, rowError(rec.Line, l.d.rowRaw, ReasonNoItem, "user %.40q without items", l.user)
		}
		l.rec = rec
	}
}
