package fusion

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"
)

// DeadLetter is one refused row.
type DeadLetter struct {
	Source string `json:"source"`
	// File is the file of a source of several, below the folder or the fixed part of the pattern.
	File   string `json:"file,omitempty"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"` // a Code
	Detail string `json:"detail"`
	Raw    string `json:"raw"`
	// RawBytes replaces Raw (base64 in JSON) where the row is not valid UTF-8.
	RawBytes []byte `json:"raw_bytes,omitempty"`
}

// Withheld is the detail of rows of private sources; see Mapping.Private.
const Withheld = "the row is not shown: its source has personal fields, or users with pseudonyms"

// DeadLetterWriter appends refused rows to a file, one JSON object a line. The
// file is created when the first row is refused; rows of an earlier run stay.
// It is not safe for concurrent use, but several writers, of other processes too, may append to
// one file: each write is of whole lines.
type DeadLetterWriter struct {
	path    string
	file    *os.File
	lines   []byte // whole ones that are not in the file yet
	reasons map[string]int64
	total   int64
	err     error
	observe func(DeadLetter)
}

// NewDeadLetterWriter returns a writer to the file at path. An empty path
// only counts.
func NewDeadLetterWriter(path string) *DeadLetterWriter {
	return &DeadLetterWriter{path: path, reasons: map[string]int64{}}
}

// Write adds one row. After an error, which means that a refused row may not
// be on disk, every later Write and Close returns the same error.
func (w *DeadLetterWriter) Write(d DeadLetter) error {
	if w.err != nil {
		return w.err
	}
	w.total++
	w.reasons[d.Reason]++
	if w.observe != nil {
		w.observe(d)
	}
	if w.path == "" {
		return nil
	}
	if w.err = w.write(d); w.err != nil {
		w.err = fmt.Errorf("dead letters: %w", w.err)
	}
	return w.err
}

// Observe makes f see all rows that are written from now on; nil ends it.
func (w *DeadLetterWriter) Observe(f func(DeadLetter)) { w.observe = f }

func (w *DeadLetterWriter) write(d DeadLetter) error {
	if w.file == nil {
		f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		w.file = f
	}
	if !utf8.ValidString(d.Raw) {
		d.Raw, d.RawBytes = "", []byte(d.Raw)
	}
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if len(w.lines)+len(line) >= deadLetterBuffer {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.lines = append(append(w.lines, line...), '\n')
	return nil
}

// deadLetterBuffer is how many bytes of lines wait, unless one line alone is longer.
const deadLetterBuffer = 64 << 10

// flush appends the lines that wait by one write, which the system does not mix with those of others.
func (w *DeadLetterWriter) flush() error {
	if len(w.lines) == 0 {
		return nil
	}
	_, err := w.file.Write(w.lines)
	w.lines = w.lines[:0]
	return err
}

// Flush puts what was written into the file.
func (w *DeadLetterWriter) Flush() error {
	if w.err != nil {
		return w.err
	}
	if err := w.flush(); err != nil {
		w.err = fmt.Errorf("dead letters: %w", err)
	}
	return w.err
}

// Count returns the number of rows written.
func (w *DeadLetterWriter) Count() int64 { return w.total }

// Reasons returns the number of rows by reason. The caller must not change it.
func (w *DeadLetterWriter) Reasons() map[string]int64 { return w.reasons }

// Path returns the file's path, or "" if no row was refused so far.
func (w *DeadLetterWriter) Path() string {
	if w.file == nil {
		return ""
	}
	return w.path
}

// Close flushes, syncs and closes the file.
func (w *DeadLetterWriter) Close() error {
	err := w.Flush()
	if w.file == nil {
		return err
	}
	err = errors.Join(err, w.file.Sync(), w.file.Close())
	if w.err == nil {
		w.err = os.ErrClosed
	}
	return err
}
