package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrCorrupt is matched by errors about bytes that AppendValue has not written.
var ErrCorrupt = errors.New("damaged record")

// Codes of values in temporary files.
const (
	codeNull = iota
	codeText
	codeNumber  // 8 bytes
	codeInteger // a number without fraction, as a varint
	codeFalse
	codeTrue
	codeTime // milliseconds as a varint
)

// exactInteger bounds the integers that a float64 tells apart from their neighbors.
const exactInteger = 1 << 53

// AppendValue appends a value. Equal values have equal bytes, and no value's bytes begin those of another, so
// that sequences of values have equal bytes only if they are equal.
func AppendValue(dst []byte, v Value) []byte {
	switch v.Type() {
	case Null:
		return append(dst, codeNull)
	case Text:
		dst = binary.AppendUvarint(append(dst, codeText), uint64(len(v.Text())))
		return append(dst, v.Text()...)
	case Bool:
		if v.Bool() {
			return append(dst, codeTrue)
		}
		return append(dst, codeFalse)
	case Time:
		return binary.AppendVarint(append(dst, codeTime), v.Millis())
	case Number:
		x := v.Number()
		if i := int64(x); float64(i) == x && -exactInteger < i && i < exactInteger { // -0 is 0
			return binary.AppendVarint(append(dst, codeInteger), i)
		}
		return binary.LittleEndian.AppendUint64(append(dst, codeNumber), math.Float64bits(x))
	}
	return append(dst, codeNull)
}

// ReadValue reads a value at the begin of s and returns what follows. The text of a value is a part of s.
func ReadValue(s string) (Value, string, error) {
	if s == "" {
		return Value{}, "", fmt.Errorf("value is cut off: %w", ErrCorrupt)
	}
	code, rest := s[0], s[1:]
	switch code {
	case codeNull:
		return Value{}, rest, nil
	case codeFalse, codeTrue:
		return OfBool(code == codeTrue), rest, nil
	case codeText:
		n, rest, err := ReadUvarint(rest)
		if err != nil || n > uint64(len(rest)) {
			return Value{}, "", fmt.Errorf("text is cut off: %w", ErrCorrupt)
		}
		return OfText(rest[:n]), rest[n:], nil
	case codeNumber:
		if len(rest) < 8 {
			return Value{}, "", fmt.Errorf("number is cut off: %w", ErrCorrupt)
		}
		bits := uint64(rest[0]) | uint64(rest[1])<<8 | uint64(rest[2])<<16 | uint64(rest[3])<<24 |
			uint64(rest[4])<<32 | uint64(rest[5])<<40 | uint64(rest[6])<<48 | uint64(rest[7])<<56
		return OfNumber(math.Float64frombits(bits)), rest[8:], nil
	case codeInteger, codeTime:
		i, rest, err := ReadVarint(rest)
		if err != nil {
			return Value{}, "", err
		}
		if code == codeTime {
			return OfTime(i), rest, nil
		}
		return OfNumber(float64(i)), rest, nil
	}
	return Value{}, "", fmt.Errorf("value of code %d: %w", code, ErrCorrupt)
}

// ReadUvarint reads a number at the begin of s, as encoding/binary writes it, and returns what follows.
func ReadUvarint(s string) (uint64, string, error) {
	var x uint64
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		b := s[i]
		x |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return x, s[i+1:], nil
		}
	}
	return 0, "", fmt.Errorf("number is cut off: %w", ErrCorrupt)
}

// ReadVarint is ReadUvarint for numbers with a sign.
func ReadVarint(s string) (int64, string, error) {
	u, rest, err := ReadUvarint(s)
	return int64(u>>1) ^ -int64(u&1), rest, err
}
