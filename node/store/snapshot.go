package store

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// sumsName is the last file of a stream.
const sumsName = "SHA256SUMS"

// maxSums bounds the size of SHA256SUMS: a hundred thousand files.
const maxSums = 16 << 20

// Snapshot is the state of a Store on its way out. It keeps the files that it
// needs until Release.
type Snapshot struct {
	store *Store
	d     *database
	dir   string // of the checkpoint, if made
}

// Snapshot returns at once. The state that WriteTo writes is that of the moment of
// WriteTo: it holds all that is applied now, and perhaps more. The caller must
// Release it before Close can end.
func (s *Store) Snapshot() (*Snapshot, error) {
	d, err := s.acquire()
	if err != nil {
		return nil, err
	}
	if _, err := d.state(); err != nil {
		s.release(d)
		return nil, err
	}
	return &Snapshot{store: s, d: d}, nil
}

// WriteTo makes everything that is applied durable in the store itself, then
// writes it to w. Apply goes on meanwhile. It takes no copy of the data: the files are hard
// links to the store's.
func (p *Snapshot) WriteTo(ctx context.Context, w io.Writer) error {
	if err := p.writeTo(ctx, w); err != nil {
		return fmt.Errorf("snapshot of event store %s: %w", p.store.dir, err)
	}
	return nil
}

func (p *Snapshot) writeTo(ctx context.Context, w io.Writer) error {
	if p.dir != "" {
		return errors.New("written already")
	}
	if err := p.d.flush(p.store.wait); err != nil {
		return err
	}
	s := p.store
	p.dir = s.path(checkPrefix + strconv.FormatUint(s.checkpoints.Add(1), 10))
	if err := p.d.checkpoint(p.dir); err != nil {
		return err
	}
	names, err := s.fs.List(p.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	tw := tar.NewWriter(w)
	var sums strings.Builder
	for _, name := range names {
		// raft forgets the log up to a snapshot: a damaged one would be the end of the events.
		if err := s.verifyTable(ctx, p.d, s.fs.PathJoin(p.dir, name)); err != nil {
			return p.d.corrupt(fmt.Errorf("%s: %w", name, err))
		}
		sum, err := p.writeFile(ctx, tw, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		writeSum(&sums, name, sum)
	}
	if err := tw.WriteHeader(&tar.Header{Name: sumsName, Size: int64(sums.Len()), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	if _, err := io.WriteString(tw, sums.String()); err != nil {
		return err
	}
	return tw.Close()
}

// checkpoint links the files of the store to the folder dir, which it makes. Pebble panics where it cannot sync that folder, and leaves
// nothing undone but the folder, which the caller removes in any case.
func (d *database) checkpoint(dir string) (err error) {
	defer func() {
		r := recover()
		if failed, ok := r.(error); ok && errors.As(failed, new(syscall.Errno)) {
			err = failed
		} else if r != nil {
			panic(r)
		}
	}()
	return d.db.Checkpoint(dir)
}

// writeFile writes one file of the checkpoint and returns its sum.
func (p *Snapshot) writeFile(ctx context.Context, tw *tar.Writer, name string) (hash.Hash, error) {
	file, err := p.store.fs.Open(p.store.fs.PathJoin(p.dir, name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := tw.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: 0o644, Format: tar.FormatPAX}); err != nil {
		return nil, err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(tw, sum), contextReader{ctx, io.LimitReader(file, info.Size())})
	return sum, err
}

func writeSum(dst *strings.Builder, name string, sum hash.Hash) {
	dst.WriteString(hex.EncodeToString(sum.Sum(nil)))
	dst.WriteString("  ")
	dst.WriteString(name)
	dst.WriteByte('\n')
}

// Release lets go of the files. It is called once, after WriteTo if that is called.
func (p *Snapshot) Release() {
	if p.dir != "" {
		if err := p.store.fs.RemoveAll(p.dir); err != nil {
			p.store.log.Warn("delete checkpoint of event store", "dir", p.dir, "err", err)
		}
	}
	p.store.release(p.d)
}

// contextReader ends reading with the context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Restore replaces everything in the store by the state of a stream that
// Snapshot.WriteTo wrote. Readers in flight end with the old state, but those who wait for a pass over all events end with ErrClosed. If
// there is an error, and if the process dies before Restore returns, the old state stays; a stream that is cut or changed
// gives an error that matches ErrCorrupt. It may be called on a store whose writing has failed.
func (s *Store) Restore(r io.Reader) error {
	if err := s.restore(r); err != nil {
		return fmt.Errorf("restore event store %s: %w", s.dir, err)
	}
	return nil
}

func (s *Store) restore(r io.Reader) error {
	old, err := s.acquire() // so that it is not closed under us
	if err != nil {
		return err
	}
	defer s.release(old)
	name, err := nextDir(s.fs.PathBase(old.dir))
	if err != nil {
		return err
	}
	dir := s.path(name)
	if err := s.fs.RemoveAll(dir); err != nil { // of an earlier try
		return err
	}
	d, err := s.load(r, name)
	if err == nil {
		err = s.writeCurrent(name)
		if err != nil && d != nil {
			err = errors.Join(err, d.db.Close())
		}
	}
	if err != nil {
		return errors.Join(err, s.fs.RemoveAll(dir))
	}
	s.mu.Lock()
	if s.closed { // CURRENT names the new state for the next Open
		s.mu.Unlock()
		s.release(d)
		return ErrClosed
	}
	s.cur = d
	s.mu.Unlock()
	s.products.wake()
	old.end()
	old.drop = true
	s.release(old) // the store's own reference
	return nil
}

// load unpacks the stream into the directory name and opens it.
func (s *Store) load(r io.Reader, name string) (*database, error) {
	dir := s.path(name)
	if err := s.fs.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := s.unpack(r, dir); err != nil {
		return nil, err
	}
	if err := syncDir(s.fs, dir); err != nil {
		return nil, err
	}
	return s.openDatabase(name)
}

// nextDir returns the name that follows that of a data directory.
func nextDir(name string) (string, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(name, dataPrefix), 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: data directory %q", ErrCorrupt, name)
	}
	return fmt.Sprintf("%s%06d", dataPrefix, n+1), nil
}

// unpack writes the files of the stream r to dir, each synced, and checks their sums.
func (s *Store) unpack(r io.Reader, dir string) error {
	br := bufio.NewReaderSize(r, 64<<10)
	tr := tar.NewReader(br)
	var sums strings.Builder
	seen := make(map[string]bool)
	for {
		h, err := tr.Next()
		if err != nil {
			return damaged(err, io.EOF) // the end before the sums
		}
		if h.Name == sumsName {
			break
		}
		if h.Typeflag != tar.TypeReg || h.Name != path.Base(h.Name) || h.Name == "." || h.Name == ".." || strings.ContainsAny(h.Name, "\\\n") || seen[h.Name] {
			return fmt.Errorf("%w: stream holds %q", ErrCorrupt, h.Name)
		}
		seen[h.Name] = true
		sum, err := s.unpackFile(tr, s.fs.PathJoin(dir, h.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		writeSum(&sums, h.Name, sum)
	}
	want, err := io.ReadAll(io.LimitReader(tr, maxSums))
	if err != nil {
		return damaged(err)
	}
	if string(want) != sums.String() {
		return fmt.Errorf("%w: checksums of the stream", ErrCorrupt)
	}
	if _, err := tr.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: stream goes on after %s", ErrCorrupt, sumsName)
	}
	// tar stops at its mark of the end: take what the writer padded, and see its errors.
	if _, err := io.Copy(io.Discard, br); err != nil {
		return err
	}
	return nil
}

func (s *Store) unpackFile(r io.Reader, path string) (hash.Hash, error) {
	file, err := s.fs.Create(path, writeCategory)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	src := &sourceReader{r: r, room: s.wait.room}
	_, err = io.Copy(io.MultiWriter(sum, file), src) // the file last: vfs.File.Write may change what it is given
	if src.err != nil {
		err = damaged(src.err)
	}
	if err == nil {
		err = file.Sync()
	}
	return sum, errors.Join(err, file.Close())
}

// sourceReader remembers the error of reading, to tell it from one of writing. It ends with an error when the disk fills.
type sourceReader struct {
	r    io.Reader
	room func() error
	err  error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	if err := s.room(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// damaged makes errors of tar, of a stream that ends early, and those listed match ErrCorrupt.
func damaged(err error, also ...error) error {
	for _, c := range append(also, io.ErrUnexpectedEOF, tar.ErrHeader) {
		if errors.Is(err, c) {
			return fmt.Errorf("%w: stream: %w", ErrCorrupt, err)
		}
	}
	return err
}
