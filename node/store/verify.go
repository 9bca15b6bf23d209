package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// Verify reads all files of the store and compares their checksums, past the caches of this process. It returns an error that matches
// ErrCorrupt and names the file if one is damaged; Trouble returns the same from then on. Cost: reading everything.
func (s *Store) Verify(ctx context.Context) error {
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	dir := s.path(checkPrefix + strconv.FormatUint(s.checkpoints.Add(1), 10))
	defer func() {
		if err := s.fs.RemoveAll(dir); err != nil {
			s.log.Warn("delete checkpoint of event store", "dir", dir, "err", err)
		}
	}()
	// The checkpoint keeps the files from being deleted meanwhile.
	if err := d.checkpoint(dir); err != nil {
		return d.corrupt(translate(err))
	}
	names, err := s.fs.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.verifyTable(ctx, d, s.fs.PathJoin(dir, name)); err != nil {
			return d.corrupt(fmt.Errorf("event store %s: %s: %w", d.dir, name, err))
		}
	}
	return nil
}

// verifyTable compares the checksums of all blocks of a file, if it is a table.
func (s *Store) verifyTable(ctx context.Context, d *database, path string) (err error) {
	if !strings.HasSuffix(path, ".sst") {
		return nil
	}
	file, err := s.fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	r, err := sstable.NewReader(ctx, readable, d.tables)
	if err != nil {
		return errors.Join(translate(err), readable.Close())
	}
	return errors.Join(translate(r.ValidateBlockChecksums()), r.Close())
}

// corrupt remembers err if it is about damage, and returns it.
func (d *database) corrupt(err error) error {
	if errors.Is(err, ErrCorrupt) {
		d.remember(&d.damage, err)
	}
	return err
}

// fail remembers that a write failed, and how.
func (d *database) fail(err error) { d.remember(&d.failed, err) }

// remember sets failed or damage to err if it is the first, and tells of it.
func (d *database) remember(where *error, err error) (first bool) {
	d.mu.Lock()
	if first = *where == nil; first {
		*where = err
	}
	d.mu.Unlock()
	if first {
		d.trouble()
	}
	return first
}

// errStuck fails what waits for files that cannot be written.
var errStuck = errors.New("files cannot be written")

// stuck takes an error of what Pebble does in the background. Pebble tries again at once, whatever the error is, so that the store must be closed. What
// a full disk refuses does not come here: it waits for room. Damage is told of apart.
func (d *database) stuck(log *slog.Logger, err error) {
	if pebble.IsCorruptionError(err) {
		return
	}
	if d.remember(&d.failed, fmt.Errorf("event store %s: %w: %w: %w", d.dir, ErrFailed, errStuck, err)) {
		log.Error("event store cannot write its files", "dir", d.dir, "err", err)
	}
	d.breaking.Do(func() { close(d.broken) })
}

// Trouble returns why the store must be closed: its files are damaged, which matches ErrCorrupt, or it has failed to write. It
// returns nil if all is well as far as is known, and after Close.
func (s *Store) Trouble() error {
	d, err := s.acquire()
	if err != nil {
		return nil
	}
	defer s.release(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.damage != nil {
		return d.damage
	}
	return d.failed
}
