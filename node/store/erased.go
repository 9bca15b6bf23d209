package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/kith-io/kith/fusion"
)

// A command that tells the partition of To that From was erased with it is
//
//	version u8 | from | to | id of the join uvarint | erased keys
//
// and an erased key
//
//	hash, 32 bytes | partition uvarint | index uvarint | events uvarint | profile u8
const erasedVersion = 7

// ErasedKey is what stays of a key that was erased with the one that it was joined to. Neither key can be read of it.
type ErasedKey struct {
	Hash Hash
	// Partition of the key, and the index of its log at which something of it was last removed.
	Partition uint32
	Index     uint64
	// Events that were removed, and whether a profile was.
	Events  uint64
	Profile bool
}

func (k *ErasedKey) append(dst []byte) []byte {
	dst = append(dst, k.Hash[:]...)
	for _, x := range []uint64{uint64(k.Partition), k.Index, k.Events} {
		dst = binary.AppendUvarint(dst, x)
	}
	if k.Profile {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (r *reader) erased() (keys []ErasedKey) {
	for r.err == nil && len(r.b) > 0 {
		var k ErasedKey
		r.fixed(k.Hash[:])
		p := r.uvarint()
		k.Partition, k.Index, k.Events = uint32(p), r.uvarint(), r.uvarint()
		profile := r.byte()
		if k.Profile = profile == 1; profile > 1 || p != uint64(k.Partition) {
			r.fail(fmt.Errorf("erased key of partition %d, flag %d", p, profile))
		}
		keys = append(keys, k)
	}
	return keys
}

// EncodeErased appends the command that From of a join was erased, with keys that were joined to it itself, and returns it. It takes the place of JoinDrop:
// the erasure of To remembers the keys.
func EncodeErased(dst []byte, from, to string, id uint64, keys []ErasedKey) []byte {
	dst = binary.AppendUvarint(appendText(appendText(append(dst, erasedVersion), from), to), id)
	for i := range keys {
		dst = keys[i].append(dst)
	}
	return dst
}

func decodeErased(command []byte) (j Join, keys []ErasedKey, err error) {
	r := reader{b: command}
	r.byte()
	j.From, j.To, j.ID = r.text(fusion.MaxKeyBytes), r.text(fusion.MaxKeyBytes), r.uvarint()
	keys = r.erased()
	if err = cmp.Or(r.err, CheckJoin(j)); err != nil {
		return Join{}, nil, fmt.Errorf("%w: erased key: %w", ErrCorrupt, err)
	}
	return j, keys, nil
}

// keepErased notes at a joined key that it was erased.
func (p *pending) keepErased(j Join, keys []ErasedKey) error {
	p.meta.records, p.meta.joined = true, true
	p.result.Join = JoinOutcome{State: JoinGone, ID: j.ID}
	c, err := p.child(j.To, j.From)
	if err != nil || c == nil || c.id != j.ID {
		return err
	}
	p.result.Join.State = JoinErased
	return p.batch.Set(childKey(j.To, j.From), (&child{state: JoinErased, id: j.ID, erased: merged(c.erased, keys)}).encode(), nil)
}

// merged returns the keys of both, by hash; of those that are in both, the sums of what was removed.
func merged(old, more []ErasedKey) []ErasedKey {
	all := map[Hash]ErasedKey{}
	for _, k := range slices.Concat(old, more) {
		if before, ok := all[k.Hash]; ok && before.Index != k.Index { // the same index is the same erasure
			k.Events, k.Profile, k.Index = before.Events+k.Events, before.Profile || k.Profile, max(before.Index, k.Index)
		}
		all[k.Hash] = k
	}
	return slices.SortedFunc(maps.Values(all), func(a, b ErasedKey) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
}

// erasedKey is where an erased key is remembered, by hashes of the user and of the key.
func erasedKey(user, key Hash) []byte { return append(append([]byte{'x'}, user[:]...), key[:]...) }

// buryErased replaces the joined keys of a user who is being erased, all of which were erased before, by what stays of them, and returns this with
// what stays of earlier ones.
func (p *pending) buryErased(user string, h Hash) ([]ErasedKey, error) {
	children, err := p.d.children(user, math.MaxInt, JoinErased)
	if err != nil {
		return nil, err
	}
	keys, err := p.d.erasedWith(h)
	if err != nil {
		return nil, err
	}
	var more []ErasedKey
	for _, joined := range children {
		c, err := p.child(user, joined.Key)
		if err != nil {
			return nil, err
		}
		more = append(more, c.erased...)
		if err := p.batch.Delete(childKey(user, joined.Key), nil); err != nil {
			return nil, err
		}
	}
	keys = merged(keys, more)
	for _, k := range keys {
		if err := p.batch.Set(erasedKey(h, k.Hash), k.append(nil), nil); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// erasedWith returns the keys that were erased with a user, by hash.
func (d *database) erasedWith(user Hash) (keys []ErasedKey, err error) {
	lower := append([]byte{'x'}, user[:]...)
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: append(slices.Clone(lower), bytes.Repeat([]byte{0xff}, sha256.Size+1)...)})
	if err != nil {
		return nil, translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		r := reader{b: it.Value()}
		of := r.erased()
		if r.err != nil || len(of) != 1 || len(it.Key()) != 1+2*sha256.Size {
			return nil, fmt.Errorf("%w: what stays of a joined key %x: %x", ErrCorrupt, it.Key(), it.Value())
		}
		keys = append(keys, of[0])
	}
	return keys, translate(it.Error())
}
