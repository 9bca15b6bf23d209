package store

import (
	"encoding/binary"
	"fmt"
)

// meta is the value of the key 'm'.
type meta struct {
	applied, events, users uint64
	// products and profiles are the numbers of records that are not deleted.
	products, profiles uint64
	// erased is the number of users with a tombstone, and erasedAt the index of the last erasure that removed an event: what a scan up to
	// an earlier index would give is gone.
	erased, erasedAt uint64
	// records is set once there has been a record or a tombstone.
	records bool
}

var metaKey = []byte{'m'}

const (
	// plainFormat and fullFormat are the first byte of the value of 'm'. A store is of the first until it has records or tombstones, so that
	// an earlier program reads it as long as it can.
	plainFormat = 1
	fullFormat  = 2

	plainBytes = 1 + 3*8
	fullBytes  = 1 + 7*8
)

// fields are the numbers in their order.
func (m *meta) fields() []*uint64 {
	return []*uint64{&m.applied, &m.events, &m.users, &m.products, &m.profiles, &m.erased, &m.erasedAt}
}

func (m meta) encode() []byte {
	b := append(make([]byte, 0, fullBytes), fullFormat)
	fields := m.fields()
	if !m.records {
		b[0], fields = plainFormat, fields[:3]
	}
	for _, x := range fields {
		b = binary.LittleEndian.AppendUint64(b, *x)
	}
	return b
}

func decodeMeta(b []byte) (m meta, err error) {
	fields := m.fields()
	switch {
	case len(b) == plainBytes && b[0] == plainFormat:
		fields = fields[:3]
	case len(b) == fullBytes && b[0] == fullFormat:
		m.records = true
	case len(b) > 0 && b[0] > fullFormat:
		return m, fmt.Errorf("event store of version %d, this program reads up to %d", b[0], fullFormat)
	default:
		return m, fmt.Errorf("%w: meta of %d bytes", ErrCorrupt, len(b))
	}
	for i, x := range fields {
		*x = binary.LittleEndian.Uint64(b[1+8*i:])
	}
	return m, nil
}

// Counts is how much there is in a store.
type Counts struct {
	// Events, and users that have any.
	Events, Users uint64
	// Products and Profiles that are not deleted.
	Products, Profiles uint64
	// Erased users.
	Erased uint64
}

func (m *meta) counts() Counts {
	return Counts{Events: m.events, Users: m.users, Products: m.products, Profiles: m.profiles, Erased: m.erased}
}

// Counts returns how much there is; nothing after Close.
func (s *Store) Counts() Counts {
	d, err := s.acquire()
	if err != nil {
		return Counts{}
	}
	defer s.release(d)
	m, _ := d.state()
	return m.counts()
}
