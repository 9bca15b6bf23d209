package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A record is
//
//	key | flags u8, 1 is deleted | version uvarint | number of attributes uvarint | attributes | places
//
// and an attribute
//
//	name | type u8 | value
//
// where a text has its length as uvarint before it, a number is the bits of a float64, a truth value a byte, a moment zigzag, and a list
// of texts its length and the texts. Integers of fixed size are little-endian. Equal records have equal bytes.

const flagDeleted = 1

// Append appends the encoding of a record, which must pass Check, to dst.
func (r *Record) Append(dst []byte) []byte { return r.append(dst) }

func (r *Record) append(dst []byte) []byte {
	dst = appendText(dst, r.Key)
	flags := byte(0)
	if r.Deleted {
		flags = flagDeleted
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(r.Version))
	dst = binary.AppendUvarint(dst, uint64(len(r.Attributes)))
	for i := range r.Attributes {
		a := &r.Attributes[i]
		dst = append(appendText(dst, a.Name), byte(a.Value.Type))
		dst = a.Value.append(dst)
	}
	return appendText(dst, r.Places)
}

func (v *Value) append(dst []byte) []byte {
	switch v.Type {
	case Text:
		return appendText(dst, v.Text)
	case Number:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Number))
	case Bool:
		if v.Bool {
			return append(dst, 1)
		}
		return append(dst, 0)
	case Time:
		return binary.AppendVarint(dst, v.Millis)
	case Texts:
		dst = binary.AppendUvarint(dst, uint64(len(v.Texts)))
		for _, s := range v.Texts {
			dst = appendText(dst, s)
		}
	}
	return dst
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Decode reads a record off the front of b, which it shares nothing with, and returns what follows. The record passes Check, and
// encodes to the same bytes. Otherwise the error matches ErrCorrupt.
func Decode(b []byte) (r Record, rest []byte, err error) {
	d := decoder{b: b}
	r.Key = d.text()
	flags := d.byte()
	version := d.uvarint()
	n := d.uvarint()
	if d.err == nil && (n > MaxAttributes || n > uint64(len(d.b))/3) { // an attribute takes a name, a type and a value
		d.fail(fmt.Errorf("%d attributes in %d bytes", n, len(d.b)))
	}
	if d.err == nil && n > 0 {
		r.Attributes = make([]Attribute, n)
		for i := range r.Attributes {
			r.Attributes[i] = Attribute{Name: d.text(), Value: d.value()}
		}
	}
	if places := d.bytes(); len(places) > 0 {
		r.Places = append([]byte(nil), places...)
	}
	if d.err == nil && (flags > flagDeleted || version > math.MaxInt64) {
		d.fail(fmt.Errorf("flags %#x and version %d", flags, version))
	}
	if d.err != nil {
		return Record{}, nil, fmt.Errorf("%w: %w", ErrCorrupt, d.err)
	}
	r.Deleted, r.Version = flags&flagDeleted != 0, int64(version)
	if err := r.Check(); err != nil {
		return Record{}, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return r, d.b, nil
}

var errCut = errors.New("cut short")

// decoder takes values off the front of b. After the first error it returns zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errCut)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

// uvarint takes the shortest form only, so that a value has one encoding.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail(errCut)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes returns the next text, which is part of b.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail(errCut)
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) value() (v Value) {
	v.Type = Type(d.byte())
	switch v.Type {
	case Text:
		v.Text = d.text()
	case Number:
		if len(d.b) < 8 {
			d.fail(errCut)
			return Value{}
		}
		v.Number = math.Float64frombits(binary.LittleEndian.Uint64(d.b))
		d.b = d.b[8:]
	case Bool:
		b := d.byte()
		if b > 1 {
			d.fail(fmt.Errorf("truth value %d", b))
		}
		v.Bool = b == 1
	case Time:
		u := d.uvarint() // zigzag, as binary.AppendVarint has it
		v.Millis = int64(u >> 1)
		if u&1 != 0 {
			v.Millis = ^v.Millis
		}
	case Texts:
		n := d.uvarint()
		if n > uint64(len(d.b)) {
			d.fail(errCut)
			return Value{}
		}
		v.Texts = make([]string, n)
		for i := range v.Texts {
			v.Texts[i] = d.text()
		}
	default:
		if d.err == nil {
			d.fail(fmt.Errorf("type %d of a value is not known", v.Type))
		}
	}
	return v
}
