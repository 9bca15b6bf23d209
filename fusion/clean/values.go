package clean

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/kith-io/kith/fusion/record"
)

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

// appendValue appends a value. Equal values have equal bytes, and no value's bytes begin those of another.
func appendValue(dst []byte, v record.Value) []byte {
	switch v.Type() {
	case record.Null:
		return append(dst, codeNull)
	case record.Text:
		dst = binary.AppendUvarint(append(dst, codeText), uint64(len(v.Text())))
		return append(dst, v.Text()...)
	case record.Bool:
		if v.Bool() {
			return append(dst, codeTrue)
		}
		return append(dst, codeFalse)
	case record.Time:
		return binary.AppendVarint(append(dst, codeTime), v.Millis())
	case record.Number:
		x := v.Number()
		if i := int64(x); float64(i) == x && -exactInteger < i && i < exactInteger { // -0 is 0
			return binary.AppendVarint(append(dst, codeInteger), i)
		}
		return binary.LittleEndian.AppendUint64(append(dst, codeNumber), math.Float64bits(x))
	}
	return append(dst, codeNull)
}

// readValue reads a value at the begin of s and returns what follows. The text of a value is a part of s.
func readValue(s string) (record.Value, string, error) {
	if s == "" {
		return record.Value{}, "", fmt.Errorf("value is cut off: %w", ErrCorrupt)
	}
	code, rest := s[0], s[1:]
	switch code {
	case codeNull:
		return record.Value{}, rest, nil
	case codeFalse, codeTrue:
		return record.OfBool(code == codeTrue), rest, nil
	case codeText:
		n, rest, err := readUvarint(rest)
		if err != nil || n > uint64(len(rest)) {
			return record.Value{}, "", fmt.Errorf("text is cut off: %w", ErrCorrupt)
		}
		return record.OfText(rest[:n]), rest[n:], nil
	case codeNumber:
		if len(rest) < 8 {
			return record.Value{}, "", fmt.Errorf("number is cut off: %w", ErrCorrupt)
		}
		bits := uint64(rest[0]) | uint64(rest[1])<<8 | uint64(rest[2])<<16 | uint64(rest[3])<<24 |
			uint64(rest[4])<<32 | uint64(rest[5])<<40 | uint64(rest[6])<<48 | uint64(rest[7])<<56
		return record.OfNumber(math.Float64frombits(bits)), rest[8:], nil
	case codeInteger, codeTime:
		i, rest, err := readVarint(rest)
		if err != nil {
			return record.Value{}, "", err
		}
		if code == codeTime {
			return record.OfTime(i), rest, nil
		}
		return record.OfNumber(float64(i)), rest, nil
	}
	return record.Value{}, "", fmt.Errorf("value of code %d: %w", code, ErrCorrupt)
}

func readUvarint(s string) (uint64, string, error) {
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

func readVarint(s string) (int64, string, error) {
	u, rest, err := readUvarint(s)
	return int64(u>>1) ^ -int64(u&1), rest, err
}

// ordered returns a number that sorts as x does; 0 and -0 are one.
func ordered(x float64) uint64 {
	bits := math.Float64bits(x + 0)
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

// unordered is the inverse of ordered.
func unordered(u uint64) float64 {
	if u>>63 != 0 {
		return math.Float64frombits(u &^ (1 << 63))
	}
	return math.Float64frombits(^u)
}
