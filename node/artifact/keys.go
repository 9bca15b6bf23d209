package artifact

import (
	"fmt"
	"sort"
)

// keys are strings one after the other: key i is text[start[i]:start[i+1]].
type keys struct {
	start []int64
	text  []byte
}

// Keys are keys that a file is to have. The zero value has none.
type Keys struct{ keys keys }

// Reset forgets all keys, and keeps their memory.
func (k *Keys) Reset() { k.keys.start, k.keys.text = k.keys.start[:0], k.keys.text[:0] }

// Len returns the number of keys.
func (k *Keys) Len() int { return k.keys.len() }

// Append appends a key.
func (k *Keys) Append(key string) {
	k.begin()
	k.keys.text = append(k.keys.text, key...)
	k.keys.start = append(k.keys.start, int64(len(k.keys.text)))
}

// AppendUsers appends the keys of the users of rows [from, to).
func (k *Keys) AppendUsers(r *Rows, from, to int) {
	k.begin()
	start := r.users.start[from : to+1]
	moved := int64(len(k.keys.text)) - start[0]
	k.keys.text = append(k.keys.text, r.users.text[start[0]:start[to-from]]...)
	for _, end := range start[1:] {
		k.keys.start = append(k.keys.start, end+moved)
	}
}

func (k *Keys) begin() {
	if len(k.keys.start) == 0 {
		k.keys.start = append(k.keys.start, 0)
	}
}

func packKeys(from []string) keys {
	k := keys{start: make([]int64, 1, len(from)+1)}
	size := 0
	for _, key := range from {
		size += len(key)
		k.start = append(k.start, int64(size))
	}
	k.text = make([]byte, 0, size)
	for _, key := range from {
		k.text = append(k.text, key...)
	}
	return k
}

// cutKeys takes the two sections of n keys.
func cutKeys(s *sections, n, textBytes uint64) keys {
	return keys{start: cut[int64](s, n+1), text: cut[byte](s, textBytes)}
}

func (k keys) len() int { return max(0, len(k.start)-1) }

// at returns key i. It is a part of text.
func (k keys) at(i int) []byte { return k.text[k.start[i]:k.start[i+1]] }

// check checks that at is safe for all keys.
func (k keys) check() error {
	if err := checkStarts(k.start, len(k.text)); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// checkAscending checks what find needs.
func (k keys) checkAscending() error {
	for i := 1; i < k.len(); i++ {
		if string(k.at(i-1)) >= string(k.at(i)) {
			return fmt.Errorf("key %d, %q, is not above the one before, %q", i, k.at(i), k.at(i-1))
		}
	}
	return nil
}

// find returns the place of a key among ascending ones. Cost: O(log n).
func (k keys) find(key string) (int, bool) {
	i := sort.Search(k.len(), func(i int) bool { return string(k.at(i)) >= key })
	return i, i < k.len() && string(k.at(i)) == key
}
