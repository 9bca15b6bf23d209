package store

import (
	"context"
	"fmt"
	"os"
	"unsafe"
)

// scratchPrefix begins the names of files that have one for a moment.
const scratchPrefix = "scratch-"

// writer makes a run, in memory or in a file.
type writer[E note[E]] struct {
	ctx  context.Context
	room func() error

	notes   []E // those of a run in memory, or those that are not written yet
	file    *os.File
	written int
	err     error
}

// writtenAtOnce is how many notes are written at a time.
const writtenAtOnce = 1 << 14

func (w *writer[E]) open(dir string) (err error) {
	if err := w.room(); err != nil {
		return err
	}
	w.file, err = newScratch(dir)
	w.notes = make([]E, 0, writtenAtOnce)
	return err
}

// add adds the note of something, in order, and reports whether there is no error.
func (w *writer[E]) add(e E, times int) bool {
	for times != 0 {
		e = e.with(times)
		w.notes = append(w.notes, e)
		times -= e.times()
		if w.file != nil && len(w.notes) == cap(w.notes) && !w.flush() {
			return false
		}
	}
	return true
}

func (w *writer[E]) flush() bool {
	if w.err = w.ctx.Err(); w.err == nil {
		w.err = w.room()
	}
	if w.err == nil && len(w.notes) > 0 {
		_, w.err = w.file.Write(unsafe.Slice((*byte)(unsafe.Pointer(&w.notes[0])), len(w.notes)*int(unsafe.Sizeof(w.notes[0])))) // by this process only, so the order of bytes does not matter
		w.written += len(w.notes)
		w.notes = w.notes[:0]
	}
	return w.err == nil
}

// close returns the run.
func (w *writer[E]) close() (*run[E], error) {
	if w.file == nil {
		return newRun(w.notes, nil), nil
	}
	if w.err == nil {
		w.flush()
	}
	if w.err != nil || w.written == 0 {
		discardScratch(w.file)
		return newRun[E](nil, nil), w.err
	}
	var e E
	data, err := mapScratch(w.file, w.written*int(unsafe.Sizeof(e)))
	if err != nil {
		return nil, fmt.Errorf("map a file of notes: %w", err)
	}
	return newRun(unsafe.Slice((*E)(unsafe.Pointer(&data[0])), w.written), data), nil
}
