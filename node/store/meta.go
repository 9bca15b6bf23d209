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
	// aliases is the number of keys that are joined to others, of which pending are under way and hidden still have their events here; joins counts
	// all joins that have begun.
	aliases, pending, hidden, joins uint64
	// records is set once there has been a record or a tombstone.
	records bool
	// joined is set once there has been a step of a join.
	joined bool
}

var metaKey = []byte{'m'}

const (
	// plainFormat, fullFormat and joinFormat are the first byte of the value of 'm'. A store is of the first until it has records or tombstones, and of
	// the second until a key is joined to another, so that an earlier program reads it as long as it can.
	plainFormat = 1
	fullFormat  = 2
	joinFormat  = 3
)

// fieldsOf is how many numbers there are by format.
var fieldsOf = [...]int{plainFormat: 3, fullFormat: 7, joinFormat: 11}

// fields are the numbers in their order.
func (m *meta) fields() []*uint64 {
	return []*uint64{
		&m.applied, &m.events, &m.users, &m.products, &m.profiles, &m.erased, &m.erasedAt, &m.aliases, &m.pending, &m.hidden, &m.joins,
	}
}

func (m meta) encode() []byte {
	format := byte(plainFormat)
	switch {
	case m.joined:
		format = joinFormat
	case m.records:
		format = fullFormat
	}
	b := []byte{format}
	for _, x := range m.fields()[:fieldsOf[format]] {
		b = binary.LittleEndian.AppendUint64(b, *x)
	}
	return b
}

func decodeMeta(b []byte) (m meta, err error) {
	switch {
	case len(b) > 0 && int(b[0]) >= len(fieldsOf):
		return m, fmt.Errorf("event store of version %d, this program reads up to %d", b[0], joinFormat)
	case len(b) == 0 || b[0] == 0 || len(b) != 1+8*fieldsOf[b[0]]:
		return m, fmt.Errorf("%w: meta of %d bytes", ErrCorrupt, len(b))
	}
	m.records, m.joined = b[0] >= fullFormat, b[0] >= joinFormat
	for i, x := range m.fields()[:fieldsOf[b[0]]] {
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
