package clean

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/fusion/record"
)

// Which of equal records to keep.
const (
	KeepFirst = "first"
	KeepLast  = "last"
)

// Duplicates rejects records that repeat another: with equal values in some fields and, if Within is set, at about the same time. Numbers, texts and
// types must be equal; missing values are equal to each other, but records in which all of the fields are missing repeat nothing.
type Duplicates struct {
	// Fields are those that are compared; none means all, and with Within all but that of the time.
	Fields []string `yaml:"fields"`
	// Within rejects a record only if a kept one is not further away in time. Of a chain of records one is kept about once in that time. Records
	// without a time repeat nothing.
	Within time.Duration `yaml:"within"`
	// Time is the field of the time, needed for Within.
	Time string `yaml:"time"`
	// Keep is first (the default) or last: in the order of the stream, and with Within of time and then of the stream.
	Keep string `yaml:"keep"`
}

func (*Duplicates) kind() string      { return "duplicates" }
func (*Duplicates) targets() []string { return nil }

func (s *Duplicates) check() error {
	if len(s.Fields) > 0 {
		if err := needFields(s.Fields); err != nil {
			return err
		}
	}
	switch {
	case s.Within < 0 || s.Within%time.Millisecond != 0:
		return wrong("within", "is %s; want whole milliseconds from 1ms", s.Within)
	case s.Within > 0 && s.Time == "":
		return wrong("time", "is missing; name the field that within compares")
	case s.Within == 0 && s.Time != "":
		return wrong("time", "has no meaning without within")
	}
	return oneOf("keep", orDefault(s.Keep, KeepFirst), KeepFirst, KeepLast)
}

func (s *Duplicates) build(e *env, fields []record.Field) (rule, []record.Field, error) {
	d := &duplicateRule{time: -1, within: uint64(s.Within.Milliseconds()), reason: "duplicate"}
	var err error
	if s.Within > 0 {
		d.reason = "repeated within " + s.Within.String()
		if d.time, err = find(fields, "time", s.Time, record.Time); err != nil {
			return nil, nil, err
		}
	}
	if d.at, err = findAll(fields, s.Fields); err != nil {
		return nil, nil, err
	}
	if len(d.at) == 0 {
		for i := range fields {
			if i != d.time {
				d.at = append(d.at, i)
			}
		}
		if len(d.at) == 0 {
			return nil, nil, wrong("fields", "there is no field beside the time to compare")
		}
	}
	if s.Keep == KeepLast {
		d.flip = ^uint64(0)
	}
	d.keys = e.sorter("keys", e.memory*7/8)
	d.chosen = e.sorter("chosen", e.memory/8)
	return d, fields, nil
}

// duplicateRule sorts records by key, time and number, all in one payload behind a hash of the key: so equal keys are beside each other however many
// there are, and no memory is needed for those that differ.
type duplicateRule struct {
	at     []int
	time   int // -1 for none
	within uint64
	flip   uint64 // turns the order of time and number around
	reason string

	keys    *sorter
	chosen  *sorter // numbers of the records to reject
	cursor  *sortCursor
	more    bool
	payload []byte
}

// duplicateTail is the size of time and number behind the key.
const duplicateTail = 16

func (d *duplicateRule) observe(n int64, r *record.Record) error {
	missing := true
	p := d.payload[:0]
	for _, at := range d.at {
		p = record.AppendValue(p, r.Values[at])
		missing = missing && r.Values[at].IsNull()
	}
	d.payload = p
	var when uint64
	if d.time >= 0 {
		v := r.Values[d.time]
		missing = missing || v.IsNull()
		when = uint64(v.Millis()) ^ 1<<63 // ascending
	}
	if missing {
		return nil
	}
	hash := xxhash.Sum64(p)
	p = binary.BigEndian.AppendUint64(p, when^d.flip)
	d.payload = binary.BigEndian.AppendUint64(p, uint64(n)^d.flip)
	return d.keys.add(hash, d.payload)
}

func (d *duplicateRule) prepare(ctx context.Context, _ *counter) error {
	c, err := d.keys.cursor()
	if err != nil {
		return err
	}
	var key []byte
	var hash, kept uint64
	for n := 0; c.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		end := len(c.payload) - duplicateTail
		if end < 0 {
			return errEntry
		}
		when := binary.BigEndian.Uint64(c.payload[end:])
		number := binary.BigEndian.Uint64(c.payload[end+8:]) ^ d.flip
		if n > 0 && hash == c.key && string(key) == string(c.payload[:end]) && when-kept <= d.within {
			if err := d.chosen.add(number, nil); err != nil {
				return err
			}
			continue
		}
		hash, key, kept = c.key, append(key[:0], c.payload[:end]...), when
	}
	if c.err != nil {
		return c.err
	}
	if err := d.keys.remove(); err != nil {
		return err
	}
	if d.cursor, err = d.chosen.cursor(); err != nil {
		return err
	}
	d.more = d.cursor.next()
	return d.cursor.err
}

func (d *duplicateRule) apply(n int64, _ *record.Record, _ *counter) (string, error) {
	if !d.more || d.cursor.key != uint64(n) {
		return "", nil
	}
	d.more = d.cursor.next()
	return d.reason, d.cursor.err
}

func (d *duplicateRule) remove() error { return removeAll(d.keys, d.chosen) }
