package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// fileSet reads files one after the other as if they were one. The first that has rows says which columns there are; others may have
// them in another order.
type fileSet struct {
	files   []File // that are to come
	options Options
	now     *Reader
	first   string   // the file that said how all are
	columns []string // nil without header
	format  Format
	chosen  []int // nil for all
	order   []int // positions in the file of the columns; nil if they are the same
	fields  [][]byte
	err     error // final
}

// openSet opens the first of some files that has rows, or the last.
func openSet(files []File, o Options) (*Reader, error) {
	s := &fileSet{files: files, options: o}
	for {
		r, err := openFile(s.files[0], o)
		if err != nil {
			return nil, err
		}
		s.now, s.first, s.files = r, s.files[0].Name, s.files[1:]
		if r.width > 0 || len(s.files) == 0 {
			break
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	s.columns, s.format = s.now.columns, s.now.format
	s.options.Separator, s.options.Format = s.now.sep, o.Format
	s.options.Header = HeaderNo
	if s.columns != nil {
		s.options.Header = HeaderYes
	}
	if s.format == JSONLines {
		s.options.Separator, s.options.Columns = o.Separator, s.columns
		s.options.Note = nil // that columns are rare has been said of the first
	}
	return &Reader{files: s, format: s.format, sep: s.now.sep, columns: s.columns, width: s.now.width}, nil
}

func (s *fileSet) file() string {
	if s.now == nil {
		return ""
	}
	return s.now.file
}

func (s *fileSet) peek(n int) []Record { return s.now.Peek(n) }

func (s *fileSet) choose(fields []int) {
	s.chosen = append([]int{}, fields...)
	s.now.Select(fields...)
}

func (s *fileSet) next() (Record, error) {
	for s.err == nil {
		rec, err := s.now.Next()
		switch {
		case err == nil:
			return s.arrange(rec), nil
		case errors.Is(err, io.EOF) && !errors.Is(err, ErrCorrupt) && len(s.files) > 0:
			s.err = s.open()
		case errors.As(err, new(*RowError)):
			return Record{}, err
		case err == io.EOF: //nolint:errorlint // a wrapped one is damage
			s.err = err
		default:
			s.err = fmt.Errorf("%s: %w", s.now.file, err)
		}
	}
	return Record{}, s.err
}

// open goes to the next file.
func (s *fileSet) open() error {
	if err := s.now.Close(); err != nil {
		return err
	}
	r, err := openFile(s.files[0], s.options)
	if err != nil {
		return err
	}
	s.now, s.files, s.order = r, s.files[1:], nil
	if r.width == 0 && r.format == Delimited {
		return nil // empty
	}
	if r.format != s.format {
		return fmt.Errorf("%w: %s is %s, and %s is %s; files of one source must be of one kind: make another source of them", ErrFormat, s.first, s.format, r.file, r.format)
	}
	if s.columns == nil || s.format == Lines || s.format == Baskets {
		return nil
	}
	if err := s.match(); err != nil {
		return err
	}
	if s.chosen != nil {
		var there []int
		for _, c := range s.chosen {
			switch {
			case c < 0:
			case s.order == nil:
				there = append(there, c)
			default:
				there = append(there, s.order[c])
			}
		}
		r.Select(there...)
	}
	return nil
}

// match finds the columns of the first file in that which was opened.
func (s *fileSet) match() error {
	place := map[string]int{}
	for i, c := range s.now.columns {
		if _, ok := place[fold(c)]; !ok {
			place[fold(c)] = i
		}
	}
	order := make([]int, len(s.columns))
	same := len(s.columns) == len(s.now.columns)
	for i, c := range s.columns {
		at, ok := place[fold(c)]
		if i < len(s.now.columns) && fold(s.now.columns[i]) == fold(c) {
			at, ok = i, true // also for names that come twice
		}
		if !ok {
			at = -1
			if s.needs(i) {
				return fmt.Errorf("%w: %s has no column %s, and %s has; its columns are %.300s", ErrFormat, s.now.file, c, s.first, strings.Join(s.now.columns, ", "))
			}
		}
		order[i] = at
		same = same && at == i
	}
	if !same {
		s.order, s.fields = order, make([][]byte, len(order))
	}
	return nil
}

func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// needs reports whether a column is asked for.
func (s *fileSet) needs(column int) bool {
	for _, c := range s.chosen {
		if c == column {
			return true
		}
	}
	return s.chosen == nil
}

// arrange brings fields into the order of the first file's columns.
func (s *fileSet) arrange(rec Record) Record {
	rec.File = s.now.file
	if s.order == nil {
		return rec
	}
	for i, at := range s.order {
		s.fields[i] = nil
		if at >= 0 && at < len(rec.Fields) {
			s.fields[i] = rec.Fields[at]
		}
	}
	rec.Fields = s.fields
	return rec
}

func (s *fileSet) close() error {
	if s.err == nil {
		s.err = os.ErrClosed
	}
	s.files = nil
	return s.now.Close()
}
