package pipeline

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// sorted is a temporary store of entries that come back by key.
type sorted struct {
	db    *pebble.DB
	batch *pebble.Batch
}

func openSorted(dir string, memory int64) (*sorted, error) {
	db, err := pebble.Open(dir, &pebble.Options{DisableWAL: true, MemTableSize: uint64(min(max(memory/4, 1<<20), 64<<20)), Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		return nil, fmt.Errorf("temporary store: %w", err)
	}
	return &sorted{db: db, batch: db.NewBatch()}, nil
}

// quiet is a logger of a store that nobody looks at.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("temporary store: "+format, args...))
}

func (s *sorted) add(key, value []byte) error {
	if err := s.batch.Set(key, value, nil); err != nil {
		return err
	}
	if s.batch.Len() < 1<<20 {
		return nil
	}
	return s.flush()
}

func (s *sorted) flush() error {
	if err := s.batch.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("temporary store: %w", err)
	}
	err := s.batch.Close()
	s.batch = s.db.NewBatch()
	return err
}

func (s *sorted) close() error { return errors.Join(s.batch.Close(), s.db.Close()) }
