// Package audit keeps a log of administrative acts: lines of JSON in files that are only added to, and change by size.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// Name of the file that is written; earlier ones have a number behind it, 1 for the last before.
	Name = "audit.log"
	// DefaultMaxBytes is the size at which a new file begins.
	DefaultMaxBytes = 16 << 20
	// keep is the number of earlier files.
	keep = 9
	// perm is for the operator alone.
	perm = 0o600
)

// Entry is an act.
type Entry struct {
	Time time.Time `json:"time"`
	// Node is where it was asked for.
	Node string `json:"node"`
	// Kind, ID and Name say who; see auth.Caller.
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// From is the address of the caller.
	From string `json:"from"`
	// Act is the method or route, and What its main arguments. It never has the key of a user.
	Act  string            `json:"act"`
	What map[string]string `json:"what,omitempty"`
	// Outcome is OK, or the reason of the error. Its text may name users and is not kept.
	Outcome string `json:"outcome"`
	// Seconds that it took.
	Seconds float64 `json:"seconds"`
	// Skipped is the number of refused acts before that were too many to be written.
	Skipped int `json:"skipped,omitempty"`
}

// Log writes entries. It is safe for concurrent use.
type Log struct {
	path string
	max  int64

	mu   sync.Mutex // guards what follows
	file *os.File
	size int64
}

// Open opens the log in a folder, which it makes if it is missing. maxBytes is the size of a file; 0 means the default. The caller must Close it.
func Open(dir string, maxBytes int64) (*Log, error) {
	if maxBytes == 0 {
		maxBytes = DefaultMaxBytes
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l := &Log{path: filepath.Join(dir, Name), max: maxBytes}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return l, nil
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, perm)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	if l.size == 0 {
		return nil
	}
	// A crash may have cut off the last line: what follows begins a new one.
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, l.size-1); err != nil {
		return errors.Join(err, f.Close())
	}
	if last[0] != '\n' {
		n, err := f.Write([]byte("\n"))
		l.size += int64(n)
		return err
	}
	return nil
}

// Write adds an entry and returns when it is on the disk.
func (l *Log) Write(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return errors.New("audit log: closed")
	}
	if l.size > 0 && l.size+int64(len(line)) > l.max {
		if err := l.turn(); err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
	}
	n, err := l.file.Write(append(line, '\n'))
	l.size += int64(n)
	if err := errors.Join(err, l.file.Sync()); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// turn begins a new file.
func (l *Log) turn() error {
	for i := keep - 1; i >= 0; i-- {
		from := l.path
		if i > 0 {
			from = fmt.Sprintf("%s.%d", l.path, i)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", l.path, i+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	old := l.file
	if err := l.open(); err != nil {
		return err
	}
	return old.Close()
}

// Close ends the log. Later entries are errors.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
