package source

import (
	"cmp"
	"time"
)

// Position is how far a file has been read. The zero Position, but for File, is the beginning.
type Position struct {
	// File is that of the records: empty for a source of one file.
	File string `json:"file,omitempty"`
	// Offset is the number of bytes of text, decompressed, as UTF-8 and without byte-order mark, before the next row; 0 for Parquet.
	Offset int64 `json:"offset"`
	// Line is that of the next row, from 1.
	Line int64 `json:"line"`
	// Service replaces the others where the rows are those of a service: see Reader.Position.
	Service string `json:"service,omitempty"`
}

// compare orders the positions of one file.
func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Offset, q.Offset), cmp.Compare(p.Line, q.Line))
}

// Track follows the reading of one source, so that it can be taken up again. It belongs to the goroutine that reads.
type Track struct {
	// Begin is called as a file is opened, with its name in the source and its path, and says where its rows go on. It may be nil.
	Begin func(file, path string) (Position, error)
	// Every is how often Take asks a service for its position, which may be long; 0 is always. At the end it is asked in any case.
	Every time.Duration

	open  *Reader    // the file or service being read
	done  []Position // the ends of those closed since the last Take
	asked time.Time  // when the position of a service was last taken
}

// Take returns how far the files are that were being read since the last call, in their order: all rows before these positions have been
// returned by Next. The last row of a text without a line end does not count as read, since more of it may come. Of a service it is
// the one position, or none where reading cannot go on, or Every has not passed.
func (t *Track) Take() []Position {
	out := t.done
	t.done = nil
	switch {
	case t.open == nil:
	case t.open.format != Service:
		out = append(out, t.open.position())
	case t.Every == 0 || time.Since(t.asked) >= t.Every:
		t.asked = time.Now()
		out = t.appendService(out, t.open)
	}
	return out
}

func (t *Track) appendService(to []Position, r *Reader) []Position {
	if text := r.Position(); text != "" {
		to = append(to, Position{Service: text})
	}
	return to
}

// begin is told that r has been opened, and makes it go on from where it should.
func (t *Track) begin(r *Reader, path string) error {
	if t.Begin != nil {
		var err error
		if r.start, err = t.Begin(r.file, path); err != nil {
			return err
		}
	}
	t.open = r
	return nil
}

// end is told that r is about to be closed.
func (t *Track) end(r *Reader) {
	if t.open != r {
		return
	}
	t.open = nil
	if r.format == Service {
		t.done = t.appendService(t.done, r)
		return
	}
	t.done = append(t.done, r.position())
}
