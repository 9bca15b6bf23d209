package experiment

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Answer is what the id of an answer says about it.
type Answer struct {
	// Unit is for whom it was made; see Unit.
	Unit uint64
	// Time is when, in Unix milliseconds.
	Time int64
	// Version of the model; 0 for none.
	Version uint64
	// Scene that was asked for.
	Scene string
	// Experiment and Variant are empty for an answer out of any experiment.
	Experiment, Variant string
	// Items by rank; see Item. An id has MaxItems of them at most.
	Items []uint16
	// More says that an id that was read does not have all items of the answer.
	More bool
}

// Bounds of an answer.
const (
	// MaxNameBytes is the longest name of a scene, an experiment and a variant.
	MaxNameBytes = 64
	// MaxItems is the number of items that an id tells apart: two bytes each.
	MaxItems = 50
	// MaxIDBytes is the longest id.
	MaxIDBytes = 500
)

const (
	answerVersion = 1
	// macBytes is the length of the code that authenticates an id: nobody finds one by trying 2^64 times.
	macBytes = 12
)

// ErrAnswer means that an id was not made with the key, or was cut or changed since.
var ErrAnswer = errors.New("not an id of an answer of this cluster")

var encoding = base64.RawURLEncoding

// Unit returns the number that stands for a user or a session in ids under a key: only who has the key can tell whose it is. Of two users it is equal with a
// probability of 2^-64.
func Unit(key []byte, user string) uint64 {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("unit\x00"))
	h.Write([]byte(user))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// Item returns the number that stands for an item in ids. Of two items it is equal with a probability of 2^-16, so that a click on an item that was not in
// the answer is taken for one that was, with 10 items once in 6,500 times.
func Item(key string) uint16 { return uint16(xxhash.Sum64String(key)) }

// Key returns the key of ids of a cluster from a secret that it has for other purposes, too.
func Key(secret []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("kith answer id"))
	return h.Sum(nil)
}

// ID returns the id of an answer: what it says, readable by everybody but for whom it is, with a code of HMAC-SHA256 under the key. Names must be at most MaxNameBytes
// long. With 10 items it has some 100 bytes. Cost: about a microsecond.
//
//	version u8 | time uvarint | model version uvarint | unit u64 | scene | experiment | variant | number of items u8 | items u16 | code
//
// in base64url, texts with their length as u8 before them, integers little-endian.
func (a *Answer) ID(key []byte) string {
	b := make([]byte, 0, 160)
	b = append(b, answerVersion)
	b = binary.AppendUvarint(b, uint64(a.Time))
	b = binary.AppendUvarint(b, a.Version)
	b = binary.LittleEndian.AppendUint64(b, a.Unit)
	for _, name := range []string{a.Scene, a.Experiment, a.Variant} {
		b = append(append(b, byte(len(name))), name...)
	}
	items := a.Items[:min(len(a.Items), MaxItems)]
	more := byte(0)
	if len(items) < len(a.Items) {
		more = 0x80
	}
	b = append(b, byte(len(items))|more)
	for _, x := range items {
		b = binary.LittleEndian.AppendUint16(b, x)
	}
	return encoding.EncodeToString(append(b, mac(key, b)...))
}

func mac(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)[:macBytes]
}

// Open reads an id. Errors match ErrAnswer.
func Open(key []byte, id string) (a Answer, err error) {
	if len(id) > MaxIDBytes {
		return a, fmt.Errorf("%w: %d bytes", ErrAnswer, len(id))
	}
	b, err := encoding.DecodeString(id)
	if err != nil || len(b) < macBytes {
		return a, ErrAnswer
	}
	if encoding.EncodeToString(b) != id { // the decoder takes several spellings, and an id counts once
		return a, ErrAnswer
	}
	b, code := b[:len(b)-macBytes], b[len(b)-macBytes:]
	if subtle.ConstantTimeCompare(code, mac(key, b)) != 1 {
		return a, ErrAnswer
	}
	return decode(b)
}

// decode reads what ID wrote before the code.
func decode(b []byte) (a Answer, err error) {
	broken := fmt.Errorf("%w: of another version of the program", ErrAnswer)
	if len(b) == 0 || b[0] != answerVersion {
		return a, broken
	}
	b = b[1:]
	var numbers [2]uint64
	for i := range numbers {
		x, n := binary.Uvarint(b)
		if n <= 0 {
			return a, broken
		}
		numbers[i], b = x, b[n:]
	}
	if len(b) < 8 {
		return a, broken
	}
	a.Time, a.Version, a.Unit, b = int64(numbers[0]), numbers[1], binary.LittleEndian.Uint64(b), b[8:]
	for _, name := range []*string{&a.Scene, &a.Experiment, &a.Variant} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return a, broken
		}
		*name, b = string(b[1:1+b[0]]), b[1+int(b[0]):]
	}
	if len(b) == 0 || len(b) != 1+2*int(b[0]&0x7f) {
		return a, broken
	}
	a.More = b[0]&0x80 != 0
	for b = b[1:]; len(b) > 0; b = b[2:] {
		a.Items = append(a.Items, binary.LittleEndian.Uint16(b))
	}
	return a, nil
}

// Has reports whether an item was in the answer; it says so of all items where the id does not have all of them.
func (a *Answer) Has(item string) bool {
	return a.More || slices.Contains(a.Items, Item(item))
}
