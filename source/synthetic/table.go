package synthetic

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// table writes one file. The first error stays; a failed table swallows what follows.
type table struct {
	file  File
	out   io.WriteCloser
	buf   []byte
	err   error
	count bool // rows, not only bytes
}

const tableBuffer = 256 << 10

func (g *generator) open(name, header string) *table {
	t := &table{file: File{Name: name}, buf: make([]byte, 0, tableBuffer+4096)}
	if t.out, t.err = g.create(name); t.err != nil {
		t.err = fmt.Errorf("create %s: %w", name, t.err)
		return t
	}
	if header != "" {
		t.buf = append(append(t.buf, header...), '\n')
		t.count = true
	}
	return t
}

// end ends the row that has been appended to buf.
func (t *table) end() {
	t.buf = append(t.buf, '\n')
	t.file.Rows++
	if len(t.buf) >= tableBuffer {
		t.flush()
	}
}

func (t *table) flush() {
	if t.err == nil {
		if _, err := t.out.Write(t.buf); err != nil {
			t.err = fmt.Errorf("write %s: %w", t.file.Name, err)
		}
	}
	t.file.Bytes += int64(len(t.buf))
	t.buf = t.buf[:0]
}

// close flushes and closes and adds the file to the summary.
func (g *generator) close(t *table) error {
	t.flush()
	if t.out != nil {
		if err := t.out.Close(); err != nil && t.err == nil {
			t.err = fmt.Errorf("close %s: %w", t.file.Name, err)
		}
	}
	g.summary.Files = append(g.summary.Files, t.file)
	return t.err
}

// text, integer, comma append to the row.
func (t *table) text(s string)      { t.buf = append(t.buf, s...) }
func (t *table) integer(n int64)    { t.buf = strconv.AppendInt(t.buf, n, 10) }
func (t *table) number(x float64)   { t.buf = strconv.AppendFloat(t.buf, x, 'g', 6, 64) }
func (t *table) comma()             { t.buf = append(t.buf, ',') }
func (t *table) price(cents uint32) { t.buf = appendPrice(t.buf, cents) }

// calendar writes seconds of the window as times, in RFC 3339 and UTC.
type calendar struct {
	start int64 // Unix seconds, midnight
	day   int64 // of the prefix, -1 for none
	date  [11]byte
}

func (c *calendar) append(dst []byte, second int64) []byte {
	day := second / daySeconds
	if day != c.day {
		c.day = day
		time.Unix(c.start+day*daySeconds, 0).UTC().AppendFormat(c.date[:0], "2006-01-02T")
	}
	s := int(second % daySeconds)
	two := func(n int) { dst = append(dst, byte('0'+n/10), byte('0'+n%10)) }
	dst = append(dst, c.date[:]...)
	two(s / 3600)
	dst = append(dst, ':')
	two(s / 60 % 60)
	dst = append(dst, ':')
	two(s % 60)
	return append(dst, 'Z')
}

// date appends the date of a day of the window, which may be below 0.
func (c *calendar) appendDate(dst []byte, day int) []byte {
	return time.Unix(c.start+int64(day)*daySeconds, 0).UTC().AppendFormat(dst, time.DateOnly)
}
