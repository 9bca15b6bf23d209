package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kith-io/kith/catalog"
)

// A command of records is
//
//	version u8 | kind u8 | number of records uvarint | records, as package catalog encodes them
const recordsVersion = 2

// minRecordBytes is the least that a record takes. It bounds what a hostile count can allocate.
const minRecordBytes = 6

// EncodeRecords appends the command that keeps records of a kind to dst and returns it. The records must pass Check, or DecodeRecords and
// Apply refuse the whole.
func EncodeRecords(dst []byte, kind catalog.Kind, records []catalog.Record) []byte {
	dst = append(dst, recordsVersion, byte(kind))
	dst = binary.AppendUvarint(dst, uint64(len(records)))
	for i := range records {
		dst = records[i].Append(dst)
	}
	return dst
}

// DecodeRecords returns the records of a command; they share nothing with it. Otherwise the error matches ErrCorrupt.
func DecodeRecords(command []byte) (catalog.Kind, []catalog.Record, error) {
	r := reader{b: command}
	if v := r.byte(); r.err == nil && v != recordsVersion {
		return 0, nil, fmt.Errorf("%w: records of version %d, this program reads %d", ErrCorrupt, v, recordsVersion)
	}
	kind := catalog.Kind(r.byte())
	n := r.uvarint()
	if r.err != nil || n > uint64(len(r.b)/minRecordBytes) || !kind.Valid() {
		return 0, nil, fmt.Errorf("%w: command says %d records of kind %d in %d bytes", ErrCorrupt, n, kind, len(command))
	}
	records := make([]catalog.Record, n)
	for i := range records {
		var err error
		if records[i], r.b, err = catalog.Decode(r.b); err != nil {
			return 0, nil, fmt.Errorf("%w: record %d: %w", ErrCorrupt, i, err)
		}
	}
	if len(r.b) > 0 {
		return 0, nil, fmt.Errorf("%w: %d bytes after the records", ErrCorrupt, len(r.b))
	}
	return kind, records, nil
}

// recordPrefixes begin the keys of records. They are those of doc.go.
var recordPrefixes = map[catalog.Kind]byte{catalog.Product: 'p', catalog.Profile: 'q'}

func recordKey(dst []byte, kind catalog.Kind, key string) []byte {
	return append(append(dst, recordPrefixes[kind]), key...)
}

// kept returns the number of records of a kind that are not deleted.
func (m *meta) kept(kind catalog.Kind) *uint64 {
	if kind == catalog.Profile {
		return &m.profiles
	}
	return &m.products
}

// put keeps those of records that are newer than what is there.
func (p *pending) put(kind catalog.Kind, records []catalog.Record) error {
	p.meta.records = p.meta.records || len(records) > 0
	p.catalog = kind == catalog.Product
	latest := map[string]*catalog.Record{} // as of this command
	for i := range records {
		r := &records[i]
		if kind == catalog.Profile {
			g, err := p.grave(r.Key)
			if err != nil {
				return err
			}
			if g != nil && !g.again {
				p.result.Erased++
				continue
			}
		}
		old, met := latest[r.Key]
		if !met {
			var err error
			if old, err = p.d.record(kind, r.Key); err != nil {
				return err
			}
			latest[r.Key] = old
		}
		if old != nil && !catalog.Newer(r, old) {
			p.result.Unchanged++
			continue
		}
		n := p.meta.kept(kind)
		if old != nil && !old.Deleted {
			*n--
		}
		if !r.Deleted {
			*n++
		}
		latest[r.Key] = r
		p.key, p.value = recordKey(p.key[:0], kind, r.Key), r.Append(p.value[:0])
		if err := p.batch.Set(p.key, p.value, nil); err != nil {
			return err
		}
		p.result.Changed++
		if kind == catalog.Product {
			p.products = append(p.products, r.Key)
		}
	}
	return nil
}

// record returns what there is at a key, or nil. It may be deleted.
func (d *database) record(kind catalog.Kind, key string) (*catalog.Record, error) {
	b, err := d.get(recordKey(nil, kind, key))
	if err != nil || b == nil {
		return nil, err
	}
	r, err := decodeStored(b)
	return &r, err
}

func decodeStored(b []byte) (catalog.Record, error) {
	r, rest, err := catalog.Decode(b)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	if err != nil {
		return r, fmt.Errorf("%w: stored record: %w", ErrCorrupt, err)
	}
	return r, nil
}

// Record returns the record of a key, and whether there is one. It may be a deleted one. Cost: a lookup.
func (s *Store) Record(kind catalog.Kind, key string) (r catalog.Record, ok bool, err error) {
	d, err := s.acquire()
	if err != nil {
		return r, false, err
	}
	defer s.release(d)
	if _, err := d.state(); err != nil {
		return r, false, err
	}
	found, err := d.record(kind, key)
	if err != nil || found == nil {
		return r, false, err
	}
	return *found, true, nil
}

// ErrStop ends a call of Records or Scan without an error.
var ErrStop = errors.New("enough")

// Records calls fn for each record of a kind behind a key, ascending by key, those deleted included. It sees one moment of the store. fn
// may keep the record; an error of it ends the call and is returned, but for ErrStop. Cost: a pass over what fn takes.
func (s *Store) Records(ctx context.Context, kind catalog.Kind, after string, fn func(catalog.Record) error) error {
	return s.each(ctx, recordKey(nil, kind, after), after != "", func(_ string, value []byte) error {
		r, err := decodeStored(value)
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// each calls fn for what is at the keys with the first byte of one, from that one on, or behind it. fn gets the rest of the key, and must not keep the value. ErrStop ends it.
func (s *Store) each(ctx context.Context, lower []byte, behind bool, fn func(key string, value []byte) error) (err error) {
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	if _, err := d.state(); err != nil {
		return err
	}
	upper := []byte{lower[0] + 1}
	if behind {
		lower = append(lower, 0) // keys hold no NUL: the next one
	}
	it, err := d.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(string(it.Key()[1:]), it.Value()); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return translate(it.Error())
}
