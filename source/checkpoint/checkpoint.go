// Package checkpoint keeps in a file how far the files and services of sources have been brought to where they belong, so that an ingestion
// that was interrupted, or comes again when there is more, does not read everything again.
//
// It is about time, not about truth: what is read again must do no harm. So in doubt a source is read from its beginning.
package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kith-io/kith/durable"
	"github.com/kith-io/kith/source"
)

// fingerprintBytes is how much of the beginning and of the end of a file is looked at to know it again.
const fingerprintBytes = 64 << 10

// version of the format of the file. That before has no services and is read, too.
const version = 2

// state is what the file holds.
type state struct {
	Version int `json:"version"`
	// Target is where the rows were brought, and Reading how they were read: with another of them nothing counts.
	Target  string `json:"target"`
	Reading string `json:"reading"`
	// Files are by source and by name in it.
	Files map[string]map[string]entry `json:"files"`
	// Services are by source.
	Services map[string]service `json:"services,omitempty"`
}

// service is a source that is no file.
type service struct {
	// What is a checksum of all that decides which rows it has, and Position how far they are done.
	What     string `json:"what"`
	Position string `json:"position"`
}

// entry is a file as it was when it was opened, and how far it is done.
type entry struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	// Head and Tail are checksums of the first and the last fingerprintBytes of Size.
	Head   string `json:"head"`
	Tail   string `json:"tail"`
	Offset int64  `json:"offset"`
	Line   int64  `json:"line"`
}

// Store is the state of an ingestion and the file that keeps it. It is safe for concurrent use.
type Store struct {
	path  string
	every time.Duration
	note  func(text string)

	mu     sync.Mutex
	state  state             // of what is done
	opened map[string]entry  // files as they are in this run, by source and name
	what   map[string]string // of the services of this run that go on by the file, by source
	acked  map[string]string // how far services are done, by source
	parts  []*Part           // that are not done, or wait for one before them
	dirty  bool
	saved  time.Time
	saving sync.Mutex // held while the file is written; taken before mu
}

// Open reads the file at path, which need not exist. Target names where rows are brought, and reading all that their meaning depends on: if one
// differs from those of the file, everything is read again. Note is told what a person should know. Done writes the file at most
// once in every.
func Open(path, target, reading string, every time.Duration, note func(text string)) (*Store, error) {
	fresh := state{Version: version, Target: target, Reading: checksum(reading), Files: map[string]map[string]entry{}, Services: map[string]service{}}
	s := InMemory()
	s.path, s.every, s.note, s.state = path, every, note, fresh
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, s.Save() // so that a path that cannot be written is known at once
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	var old state
	if err := json.Unmarshal(data, &old); err != nil || old.Version < 1 || old.Version > version {
		return nil, fmt.Errorf("state %s: it is no state of an ingestion that this program knows; remove it, or name another file", path)
	}
	switch {
	case old.Target != fresh.Target:
		note(path + " is about another cluster: everything is read")
	case old.Reading != fresh.Reading:
		note(path + " is about another mapping or other flags: everything is read")
	case old.Files != nil:
		old.Version = version
		if old.Services == nil {
			old.Services = map[string]service{}
		}
		s.state = old
	}
	return s, nil
}

// InMemory returns a Store without a file: it knows what is done of the services of this run, which may keep that themselves.
func InMemory() *Store {
	return &Store{opened: map[string]entry{}, what: map[string]string{}, acked: map[string]string{}, saved: time.Now()}
}

func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Resume says after which position a service goes on, "" for its start, and makes the file keep how far it comes. What is all that decides
// which rows there are: if it differs from that of the file, the position does not count.
func (s *Store) Resume(name, what string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what[name] = checksum(what)
	old, ok := s.state.Services[name]
	switch {
	case !ok:
		return ""
	case old.What != s.what[name]:
		s.note(name + " is another service, or another part of it, than was read before: it is read from its start")
		delete(s.state.Services, name)
		return ""
	}
	return old.Position
}

// Acknowledged returns the position of a service up to which all rows of this run are done, "" as long as there is none.
func (s *Store) Acknowledged(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked[name]
}

// Begin is for source.Track.Begin of a source: it says where a file goes on.
func (s *Store) Begin(name, file, path string) (source.Position, error) {
	f, err := os.Open(path)
	if err != nil {
		return source.Position{}, fmt.Errorf("state: %w", err)
	}
	defer func() { _ = f.Close() }() // it was read only
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return source.Position{}, err // a pipe is read once
	}
	now, err := fingerprint(f, st.Size())
	if err != nil {
		return source.Position{}, fmt.Errorf("state: %s: %w", path, err)
	}
	now.Modified = st.ModTime().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[name+"\x00"+file] = now
	old, ok := s.state.Files[name][file]
	if !ok {
		return source.Position{}, nil
	}
	same := now.Size == old.Size && now.Head == old.Head && now.Tail == old.Tail && now.Modified.Equal(old.Modified)
	if !same {
		grown := now.Size > old.Size
		if grown {
			was, err := fingerprint(f, old.Size)
			if err != nil {
				return source.Position{}, fmt.Errorf("state: %s: %w", path, err)
			}
			grown = was.Head == old.Head && was.Tail == old.Tail
		}
		if !grown {
			s.note(path + " is not the file that was read before, or was changed: it is read from its beginning")
			delete(s.state.Files[name], file)
			return source.Position{}, nil
		}
	}
	return source.Position{File: file, Offset: old.Offset, Line: old.Line}, nil
}

// fingerprint returns size and checksums of the first size bytes of f.
func fingerprint(f io.ReaderAt, size int64) (entry, error) {
	sum := func(from, to int64) (string, error) {
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(f, from, to-from)); err != nil {
			return "", err
		}
		return hex.EncodeToString(h.Sum(nil)[:16]), nil
	}
	head, err := sum(0, min(size, fingerprintBytes))
	if err != nil {
		return entry{}, err
	}
	tail, err := sum(max(0, size-fingerprintBytes), size)
	return entry{Size: size, Head: head, Tail: tail}, err
}

// Part is a number of rows that were read one after the other.
type Part struct {
	store  *Store
	name   string
	at     []source.Position
	remain int
}

// Add tells that n rows of a source have been read that are to be stored, and how far the reading is. Parts are added in the order of
// reading. What at says counts when all rows of this part and those before it are done.
func (s *Store) Add(name string, n int, at []source.Position) *Part {
	p := &Part{store: s, name: name, at: at, remain: n}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, p)
	s.advance()
	return p
}

// Done tells that n more rows of the part are stored for good. Now and then it writes the file.
func (p *Part) Done(n int) error {
	s := p.store
	s.mu.Lock()
	p.remain -= n
	s.advance()
	write := s.dirty && time.Since(s.saved) >= s.every
	s.mu.Unlock()
	if !write || !s.saving.TryLock() {
		return nil
	}
	defer s.saving.Unlock()
	return s.write()
}

// advance takes over what the parts at the front say. The caller holds mu.
func (s *Store) advance() {
	n := 0
	for ; n < len(s.parts) && s.parts[n].remain <= 0; n++ {
		p := s.parts[n]
		for _, at := range p.at {
			if at.Service != "" {
				s.advanceService(p.name, at.Service)
				continue
			}
			e, ok := s.opened[p.name+"\x00"+at.File]
			if !ok {
				continue // no regular file
			}
			e.Offset, e.Line = at.Offset, at.Line
			if s.state.Files[p.name] == nil {
				s.state.Files[p.name] = map[string]entry{}
			}
			s.state.Files[p.name][at.File] = e
			s.dirty = true
		}
	}
	s.parts = append(s.parts[:0], s.parts[n:]...)
}

// advanceService takes over the position of a service. The caller holds mu.
func (s *Store) advanceService(name, position string) {
	s.acked[name] = position
	if what, ok := s.what[name]; ok {
		s.state.Services[name] = service{What: what, Position: position}
		s.dirty = true
	}
}

// Save writes the file. Rows that are not done will be read again.
func (s *Store) Save() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	return s.write()
}

// write replaces the file in one step. The caller holds saving.
func (s *Store) write() error {
	s.mu.Lock()
	data, err := json.MarshalIndent(s.state, "", " ")
	s.dirty, s.saved = false, time.Now()
	s.mu.Unlock()
	if err == nil {
		err = replace(s.path, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// replace writes a file that is there in full, or not at all.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return durable.SyncDir(filepath.Dir(path))
}
