package source

import "cmp"

// Position is how far a file has been read. The zero Position, but for File, is the beginning.
type Position struct {
	// File is that of the records: empty for a source of one file.
	File string `json:"file,omitempty"`
	// Offset is the number of bytes of text, decompressed, as UTF-8 and without byte-order mark, before the next row; 0 for Parquet.
	Offset int64 `json:"offset"`
	// Line is that of the next row, from 1.
	Line int64 `json:"line"`
}

// compare orders the positions of one file.
func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Offset, q.Offset), cmp.Compare(p.Line, q.Line))
}

// Track follows the reading of one source, so that it can be taken up again. It belongs to the goroutine that reads.
type Track struct {
	// Begin is called as a file is opened, with its name in the source and its path, and says where its rows go on. It may be nil.
	Begin func(file, path string) (Position, error)

	open *Reader    // the file being read
	done []Position // the ends of files closed since the last Take
}

// Take returns how far the files are that were being read since the last call, in their order: all rows before these positions have been
// returned by Next. The last row of a text without a line end does not count as read, since more of it may come.
func (t *Track) Take() []Position {
	out := t.done
	t.done = nil
	if t.open != nil {
		out = append(out, t.open.position())
	}
	return out
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
	if t.open == r {
		t.done, t.open = append(t.done, r.position()), nil
	}
}
