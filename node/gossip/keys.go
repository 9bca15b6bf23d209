package gossip

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"

	"github.com/kith-io/kith/durable"
)

// ReadKeys reads a file of keys: base64 of 16, 24 or 32 bytes a line, the one that encrypts first. Empty lines and lines that begin with # do
// not count. Errors do not repeat keys.
func ReadKeys(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	var keys [][]byte
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("gossip keys: %s: line %d: %w", path, i+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("gossip keys: %s has no key; make one with 'kith key gossip'", path)
	}
	return keys, nil
}

// ParseKey decodes a key from base64.
func ParseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || memberlist.ValidateKey(key) != nil {
		return nil, errors.New("want base64 of 16, 24 or 32 bytes, as made by 'kith key gossip'")
	}
	return key, nil
}

// SetKeys replaces the keys; see Config. It is an error without encryption from the start, which cannot be taken up on the way.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if g.keyring == nil || len(keys) == 0 {
		return errors.New("gossip: encryption begins and ends with a restart of all servers")
	}
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	for _, key := range keys {
		if err := g.keyring.AddKey(key); err != nil {
			return fmt.Errorf("gossip keys: %w", err)
		}
	}
	// The keys that stay come first, and the one that encrypts first of all. RemoveKey moves what is behind the key that it takes out, in place,
	// under the eyes of readers; of the last key nothing is behind.
	for _, key := range slices.Backward(keys) {
		if err := g.keyring.UseKey(key); err != nil {
			return fmt.Errorf("gossip keys: %w", err)
		}
	}
	for {
		have := g.keyring.GetKeys()
		last := have[len(have)-1]
		if slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, last) }) {
			return nil
		}
		if err := g.keyring.RemoveKey(last); err != nil {
			return fmt.Errorf("gossip keys: %w", err)
		}
	}
}

// KeyStep is a step in the change of keys.
type KeyStep string

// A cluster changes its key while it runs in three steps, each of which all servers must have taken before the next.
const (
	// AddKey adds a new key as the last: all understand it. It makes the file if it is missing.
	AddKey KeyStep = "add"
	// UseKey makes the last key the first: it encrypts.
	UseKey KeyStep = "use"
	// DropKeys drops all keys but the first.
	DropKeys KeyStep = "drop"
)

// keysPerm is the mode of a file of keys.
const keysPerm = 0o600

// ChangeKeys takes a step with a file of keys, and returns how many it has then. Comments in the file are lost.
func ChangeKeys(path string, step KeyStep) (int, error) {
	keys, err := ReadKeys(path)
	if step == AddKey && errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return 0, err
	}
	switch step {
	case AddKey:
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		keys = append(keys, key)
	case UseKey:
		last := len(keys) - 1
		keys = append([][]byte{keys[last]}, keys[:last]...)
	case DropKeys:
		keys = keys[:1]
	default:
		return 0, fmt.Errorf("gossip keys: step %q; want add, use or drop", step)
	}
	var text strings.Builder
	for _, key := range keys {
		text.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	}
	return len(keys), durable.Replace(path, []byte(text.String()), keysPerm)
}
