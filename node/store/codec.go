package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/kith-io/kith/fusion"
)

// A command is a batch of events:
//
//	version u8 | number of events uvarint | events
//
// and each event
//
//	user | id | item | behavior | value, float64 bits u64 | time uvarint | number of pairs uvarint | pairs of key and value
//
// Texts have their length as uvarint before them. An empty user or behavior means that of the
// event before: batches are often of one user. Integers of fixed size are little-endian. The order of the
// context pairs is by key.
const batchVersion = 1

// minEventBytes is the least that an event takes: lengths of user and behavior, id and item of one
// byte, value, time, number of pairs. It bounds what a hostile count can allocate.
const minEventBytes = 1 + 2 + 2 + 1 + 8 + 1 + 1

// EncodeBatch appends the command that adds events to dst and returns it. The
// events must be valid and have IDs, or DecodeBatch and Apply refuse the whole. The
// command is a function of the events alone.
func EncodeBatch(dst []byte, events []fusion.Event) []byte {
	dst = append(dst, batchVersion)
	dst = binary.AppendUvarint(dst, uint64(len(events)))
	var user string
	var behavior fusion.Behavior
	for i := range events {
		e := &events[i]
		if i > 0 && e.User == user {
			dst = append(dst, 0)
		} else {
			dst = appendText(dst, e.User)
		}
		dst = appendText(dst, e.ID)
		dst = appendText(dst, e.Item)
		if i > 0 && e.Behavior == behavior {
			dst = append(dst, 0)
		} else {
			dst = appendText(dst, e.Behavior)
		}
		dst = appendRest(dst, e)
		user, behavior = e.User, e.Behavior
	}
	return dst
}

// DecodeBatch returns the events of a command; they share nothing with it. All
// are valid (fusion.Event.Validate) and have an ID. Otherwise the error matches ErrCorrupt.
func DecodeBatch(command []byte) ([]fusion.Event, error) {
	r := reader{b: command}
	if v := r.byte(); r.err == nil && v != batchVersion {
		return nil, fmt.Errorf("%w: batch of version %d, this program reads %d", ErrCorrupt, v, batchVersion)
	}
	n := r.uvarint()
	if r.err != nil || n > uint64(len(r.b)/minEventBytes) {
		return nil, fmt.Errorf("%w: batch says %d events in %d bytes", ErrCorrupt, n, len(command))
	}
	events := make([]fusion.Event, n)
	for i := range events {
		e := &events[i]
		if e.User = r.text(fusion.MaxKeyBytes); e.User == "" && i > 0 {
			e.User = events[i-1].User
		}
		e.ID = r.text(fusion.MaxKeyBytes)
		e.Item = r.text(fusion.MaxKeyBytes)
		if e.Behavior = fusion.Behavior(r.text(fusion.MaxKeyBytes)); e.Behavior == "" && i > 0 {
			e.Behavior = events[i-1].Behavior
		}
		r.rest(e)
		if r.err != nil {
			return nil, fmt.Errorf("%w: batch event %d: %w", ErrCorrupt, i, r.err)
		}
		if err := Check(e); err != nil {
			return nil, fmt.Errorf("%w: batch event %d: %w", ErrCorrupt, i, err)
		}
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the batch", ErrCorrupt, len(r.b))
	}
	return events, nil
}

// ErrNoID refuses an event without an id, which cannot be told from a copy.
var ErrNoID = errors.New("event has no id")

// Check returns nil if the store takes e: it is valid and has an ID. Who makes
// commands checks first, as one bad event spoils its batch.
func Check(e *fusion.Event) error {
	if e.ID == "" {
		return ErrNoID
	}
	return e.Validate()
}

// appendText appends s with its length.
func appendText[T ~string](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendRest appends the value, time and context of e.
func appendRest(dst []byte, e *fusion.Event) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(e.Value))
	dst = binary.AppendUvarint(dst, uint64(e.Time))
	dst = binary.AppendUvarint(dst, uint64(len(e.Context)))
	if len(e.Context) == 0 {
		return dst
	}
	keys := make([]string, 0, len(e.Context))
	for k := range e.Context {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		dst = appendText(appendText(dst, k), e.Context[k])
	}
	return dst
}

// appendEventValue appends the value of an event's key: raft index uvarint | item |
// behavior | rest, as in a command.
func appendEventValue(dst []byte, index uint64, e *fusion.Event) []byte {
	dst = binary.AppendUvarint(dst, index)
	dst = appendText(dst, e.Item)
	dst = appendText(dst, e.Behavior)
	return appendRest(dst, e)
}

// decodeEventValue reads what appendEventValue wrote into e, but for user and
// id, and returns the raft index.
func decodeEventValue(b []byte, e *fusion.Event) (index uint64, err error) {
	index, item, err := decodeAllButItem(b, e)
	e.Item = string(item)
	return index, err
}

// decodeAllButItem is decodeEventValue, but for the item, which is returned as a part of b.
func decodeAllButItem(b []byte, e *fusion.Event) (index uint64, item []byte, err error) {
	r := reader{b: b}
	index = r.uvarint()
	item = r.bytes(fusion.MaxKeyBytes)
	e.Behavior = knownBehavior(r.bytes(fusion.MaxKeyBytes))
	r.rest(e)
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	if r.err != nil {
		return 0, nil, fmt.Errorf("%w: stored event: %w", ErrCorrupt, r.err)
	}
	return index, item, nil
}

// knownBehavior returns the behavior named b without allocating for the usual ones.
func knownBehavior(b []byte) fusion.Behavior {
	switch string(b) {
	case string(fusion.View):
		return fusion.View
	case string(fusion.Search):
		return fusion.Search
	case string(fusion.Cart):
		return fusion.Cart
	case string(fusion.Purchase):
		return fusion.Purchase
	case string(fusion.Cancel):
		return fusion.Cancel
	case string(fusion.Rating):
		return fusion.Rating
	case string(fusion.Impression):
		return fusion.Impression
	case string(fusion.Click):
		return fusion.Click
	}
	return fusion.Behavior(b)
}

var (
	errCut     = errors.New("cut short")
	errTooLong = errors.New("text is too long")
	errPairs   = errors.New("context pairs are not in order")
)

// reader takes values off the front of b. After the first error it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errCut)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errCut)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes returns the next text, which is part of b.
func (r *reader) bytes(limit int) []byte {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail(errTooLong)
		return nil
	}
	if n > uint64(len(r.b)) {
		r.fail(errCut)
		return nil
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) text(limit int) string { return string(r.bytes(limit)) }

// rest reads what appendRest wrote.
func (r *reader) rest(e *fusion.Event) {
	if len(r.b) < 8 {
		r.fail(errCut)
		return
	}
	e.Value = math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	t := r.uvarint()
	if t > fusion.MaxTime {
		r.fail(fusion.ErrBadTime)
		return
	}
	e.Time = int64(t)
	pairs := r.uvarint()
	if r.err != nil || pairs == 0 {
		return
	}
	if pairs > fusion.MaxContextBytes || pairs > uint64(len(r.b)/2) {
		r.fail(fusion.ErrBadContext)
		return
	}
	e.Context = make(map[string]string, pairs)
	last := ""
	for i := range pairs {
		k := r.text(fusion.MaxContextBytes)
		v := r.text(fusion.MaxContextBytes)
		if r.err == nil && i > 0 && k <= last {
			r.fail(errPairs)
		}
		if r.err != nil {
			return
		}
		e.Context[k] = v
		last = k
	}
}
