package fusion

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kith-io/kith/fusion/record"
)

// Behavior is what a user did: one of the constants or a custom name that
// matches [a-z][a-z0-9_-]{0,31}.
type Behavior string

// Behaviors with a meaning to kith.
const (
	View     Behavior = "view"
	Search   Behavior = "search"
	Cart     Behavior = "cart"
	Purchase Behavior = "purchase"
	Cancel   Behavior = "cancel" // takes a purchase back
	Rating   Behavior = "rating" // Value is the weight itself
	// Of an item of an answer, which the context names; see Event.Feedback.
	Impression Behavior = "impression" // it came into view
	Click      Behavior = "click"
)

// ContextAnswer is the key of the context that has the id of the answer that an impression or a click is about.
const ContextAnswer = "answer"

// Valid reports whether b is a well-formed name.
func (b Behavior) Valid() bool {
	if len(b) == 0 || len(b) > 32 || b[0] < 'a' || b[0] > 'z' {
		return false
	}
	for i := 1; i < len(b); i++ {
		c := b[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Bounds of an Event.
const (
	// MaxKeyBytes is the longest user, item or event id.
	MaxKeyBytes = 256
	// MaxTime is the latest time, the end of the year 9999, in Unix milliseconds.
	MaxTime = 253402300799999
	// MaxContextBytes bounds the keys and values of Event.Context together.
	MaxContextBytes = 4096
)

// Event is one observation of a user and an item.
type Event struct {
	// User and Item are keys: valid UTF-8 without NUL bytes, 1 to MaxKeyBytes bytes.
	User, Item string
	// Behavior is what happened.
	Behavior Behavior
	// Value is the rating for behavior rating, otherwise a quantity. Readers of
	// files set 1 where the source says nothing. Finite.
	Value float64
	// Time is in Unix milliseconds UTC, from 0 to MaxTime; 0 means unknown.
	Time int64
	// ID identifies the event among those of its user: a second event with the
	// same ID is a copy. At most MaxKeyBytes bytes. Validate takes an empty ID; who
	// stores events must set it first (see ContentID).
	ID string
	// Context is free: device, channel, order, ... At most MaxContextBytes.
	Context map[string]string
}

// Feedback reports whether the event tells what became of an answer, rather than what the user is interested in: an impression or a click with the id of the
// answer. It does not count in what is popular, in features, nor as an item that the user knows, and in interactions only where weights name the behavior.
func (e *Event) Feedback() bool {
	return (e.Behavior == Impression || e.Behavior == Click) && e.Context[ContextAnswer] != ""
}

// ContextAsked is the key of the context of feedback that came under another key of its user: the key for which the answer was made. See Under.
const ContextAsked = "asked"

// Under returns the event as one of another key of the same user. Feedback notes in its context for which key its answer was made, which the answer
// proves, as far as there is room.
func (e *Event) Under(user string) Event {
	out := *e
	out.User = user
	if e.Feedback() && e.Context[ContextAsked] == "" {
		out.Context = maps.Clone(e.Context)
		out.Context[ContextAsked] = e.User
		if out.Validate() != nil {
			out.Context = e.Context
		}
	}
	return out
}

const (
	// ContextOrder is the key of the context that names the order of a purchase.
	ContextOrder = "order"
	dayMs        = 24 * 60 * 60 * 1000
)

// Basket returns what is equal for the events of a user that were bought together, or "" for none: purchases of one order, or if they name none those of
// one day in UTC. Cancellations take nothing out.
func (e *Event) Basket() string {
	switch order := e.Context[ContextOrder]; {
	case e.Behavior != Purchase:
		return ""
	case order != "":
		return "o" + order
	case e.Time > 0:
		return "d" + strconv.FormatInt(e.Time/dayMs, 10)
	}
	return ""
}

// refusal is a sentinel with a code for counting.
type refusal struct{ code, text string }

func (r *refusal) Error() string { return r.text }

// Reasons to refuse an event or a row, to be tested with errors.Is. Code gives
// their short stable names.
var (
	ErrNoUser      error = &refusal{"no_user", "no user"}
	ErrNoItem      error = &refusal{"no_item", "no item"}
	ErrKeyTooLong  error = &refusal{"key_too_long", "key longer than 256 bytes"}
	ErrBadKey      error = &refusal{"bad_key", "key is not valid UTF-8 or holds a NUL byte"}
	ErrBadValue    error = &refusal{"bad_value", "value is not a finite number"}
	ErrBadTime     error = &refusal{"bad_time", "time cannot be read or is out of range"}
	ErrBadBehavior error = &refusal{"bad_behavior", "unknown or malformed behavior"}
	ErrBadContext  error = &refusal{"bad_context", "context is too large, or not valid UTF-8"}
	ErrShortRow    error = &refusal{"short_row", "row lacks a mapped column"}
)

// Code returns the short stable code of the reason that err wraps, such as
// "no_user", or "other".
func Code(err error) string {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.code
	}
	return "other"
}

// Validate returns nil or an error that matches one of the reasons above.
func (e *Event) Validate() error {
	if e.User == "" {
		return ErrNoUser
	}
	if e.Item == "" {
		return ErrNoItem
	}
	if err := checkKey("user", e.User); err != nil {
		return err
	}
	if err := checkKey("item", e.Item); err != nil {
		return err
	}
	if err := checkKey("id", e.ID); err != nil {
		return err
	}
	if !e.Behavior.Valid() {
		return fmt.Errorf("%w: %.40q", ErrBadBehavior, string(e.Behavior))
	}
	if math.IsNaN(e.Value) || math.IsInf(e.Value, 0) {
		return fmt.Errorf("%w: %v", ErrBadValue, e.Value)
	}
	if e.Time < 0 || e.Time > MaxTime {
		return fmt.Errorf("%w: %d is not between 0 and %d Unix milliseconds", ErrBadTime, e.Time, int64(MaxTime))
	}
	size := 0
	for k, v := range e.Context {
		if size += len(k) + len(v); size > MaxContextBytes || k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("%w: at key %.40q", ErrBadContext, k)
		}
	}
	return nil
}

func checkKey[T string | []byte](what string, key T) error {
	if len(key) > MaxKeyBytes {
		return fmt.Errorf("%w: %s of %d bytes", ErrKeyTooLong, what, len(key))
	}
	plain := true
	for i := 0; i < len(key); i++ {
		plain = plain && key[i] < utf8.RuneSelf && key[i] != 0
	}
	if !plain && (!utf8.ValidString(string(key)) || strings.IndexByte(string(key), 0) >= 0) {
		return fmt.Errorf("%w: %s %q", ErrBadKey, what, key)
	}
	return nil
}

// idEncoding writes ids in the alphabet of lower-case base32hex, which keeps
// the order of the bytes.
var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// idBytes is the length of a hash that serves as an id: 128 bits, so that two
// among 2^40 events are equal by chance with a probability under 10^-14.
const idBytes = 16

func encodeID(sum [sha256.Size]byte) string {
	return strings.ToLower(idEncoding.EncodeToString(sum[:idBytes]))
}

// ContentID returns an id made of all of e but its ID: the same event has the
// same id whoever sends it, and two equal events are taken for one. It suits
// senders that cannot number their events but know the time of each.
func ContentID(e *Event) string {
	var b []byte
	for _, s := range []string{e.User, e.Item, string(e.Behavior)} {
		b = appendString(b, s)
	}
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(e.Value))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
	keys := make([]string, 0, len(e.Context))
	for k := range e.Context {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b = appendString(appendString(b, k), e.Context[k])
	}
	return encodeID(sha256.Sum256(b))
}

// appendString appends s with its length, so that joined strings stay apart.
func appendString[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// sourceID is the part of made ids that stands for a source: 40 bits of the
// hash of its name.
type sourceID [5]byte

func newSourceID(name string) (id sourceID) {
	sum := sha256.Sum256([]byte(name))
	copy(id[:], sum[:])
	return id
}

// appendID appends to dst the id of a row that has none of its own: the
// source, the line, the position in it, and 56 bits of a hash of the fields, so
// that a changed row is another event. In one source ids ascend with the lines.
func (s sourceID) appendID(dst []byte, line int64, part int, fields []byte) []byte {
	var id [20]byte
	copy(id[:], s[:])
	binary.BigEndian.PutUint64(id[5:], placeBits(line, part))
	sum := sha256.Sum256(fields)
	copy(id[digestAt:], sum[:])
	at := len(dst)
	dst = idEncoding.AppendEncode(dst, id[:])
	for i := at; i < len(dst); i++ {
		if c := dst[i]; c >= 'A' && c <= 'Z' {
			dst[i] = c + 'a' - 'A'
		}
	}
	return dst
}

// placeBits are the 64 bits of a made id for a row: 40 of the line, and 24 of the position in it.
func placeBits(line int64, part int) uint64 { return uint64(line)<<24 | uint64(part)&(1<<24-1) }

// digestAt is where the hash of the fields begins in the bytes of a made id.
const digestAt = 13

// WithDigest returns a made id whose hash of the fields, by which they could be guessed, is replaced by the first bytes of a keyed one. What the
// id says of its origin stays. It returns ids that OriginOf does not take as they are. The sum has 7 bytes or more.
func WithDigest(id string, sum []byte) string {
	if _, ok := OriginOf(id); !ok {
		return id
	}
	b, _ := idEncoding.DecodeString(strings.ToUpper(id)) // as OriginOf has done
	copy(b[digestAt:], sum)
	return strings.ToLower(idEncoding.EncodeToString(b))
}

// Origin is what an id that was made of a row says about it.
type Origin struct {
	source sourceID
	// Line and Part are those of the row; see record.Place.
	Line int64
	Part int
}

// OriginOf reads an id that was made for a row without one. Ok is false for all that cannot be such an id; some ids of other programs can, such as
// hashes in 32 hexadecimal digits.
func OriginOf(id string) (o Origin, ok bool) {
	b, err := idEncoding.DecodeString(strings.ToUpper(id))
	if err != nil || len(b) != 20 || len(id) != 32 || id != strings.ToLower(id) {
		return o, false
	}
	copy(o.source[:], b)
	place := binary.BigEndian.Uint64(b[5:])
	o.Line, o.Part = int64(place>>24), int(place&(1<<24-1))
	return o, o.Line > 0
}

// At reports whether the row is that of a place, as far as an id has room for its line.
func (o Origin) At(p record.Place) bool {
	return o.Of(p.Source, p.File) && placeBits(o.Line, o.Part) == placeBits(p.Line, p.Part)
}

// Of reports whether the row is of a source, and of a file of it if it has several.
func (o Origin) Of(source, file string) bool {
	if file != "" {
		source += "\x00" + file
	}
	return o.source == newSourceID(source)
}

// String returns the source as far as it is known: a hash of its name.
func (o Origin) String() string { return fmt.Sprintf("#%x", o.source[:]) }
