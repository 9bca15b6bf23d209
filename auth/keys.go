package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kith-io/kith/durable"
	"github.com/kith-io/kith/node/wire"
)

// An API key is "kith_", its id in 16 hexadecimal digits, "_", and a secret of 256 random bits in 64. The prefix lets scanners find
// keys that were published by mistake.
const (
	keyPrefix = "kith_"
	idBytes   = 8
	keyBytes  = 32
)

// keysPerm is the mode of a file of keys.
const keysPerm = 0o600

// lookEvery is how long a file of keys is taken to be unchanged.
const lookEvery = time.Second

// Key is an API key as it is kept: with a hash in the place of the secret.
type Key struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Roles []Role `json:"roles"`
	// Hash is the SHA-256 of the secret. A hash that is slow on purpose protects secrets that people choose from being guessed; 256 random
	// bits cannot be guessed, and every call would pay for it.
	Hash string `json:"sha256"`
	// Rate is the number of calls a second, and Burst how many at once; 0 means what the server says.
	Rate    float64    `json:"rate,omitempty"`
	Burst   int        `json:"burst,omitempty"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
}

// State says in a word whether a key is good.
func (k *Key) State(now time.Time) string {
	switch {
	case k.Revoked != nil:
		return "revoked"
	case k.Expires != nil && !now.Before(*k.Expires):
		return "expired"
	}
	return "active"
}

// keysFile is the layout of a file of keys.
type keysFile struct {
	Keys []Key `json:"keys"`
}

// ReadKeys reads a file of keys.
func ReadKeys(path string) ([]Key, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w; make a key with 'kith key create'", err)
	}
	var f keysFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("keys: %s: %w", path, err)
	}
	seen := map[string]bool{}
	for i := range f.Keys {
		k := &f.Keys[i]
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("keys: %s: key %q: %w", path, k.ID, err)
		}
		if seen[k.ID] {
			return nil, fmt.Errorf("keys: %s: key %q is there twice", path, k.ID)
		}
		seen[k.ID] = true
	}
	return f.Keys, nil
}

func (k *Key) check() error {
	if b, err := hex.DecodeString(k.ID); err != nil || len(b) != idBytes {
		return fmt.Errorf("want an id of %d hexadecimal digits", 2*idBytes)
	}
	if b, err := hex.DecodeString(k.Hash); err != nil || len(b) != sha256.Size {
		return errors.New("want a SHA-256 in hexadecimal digits")
	}
	if !(k.Rate >= 0) || math.IsInf(k.Rate, 0) || k.Burst < 0 {
		return fmt.Errorf("rate %v and burst %d; want 0 or more", k.Rate, k.Burst)
	}
	names := make([]string, len(k.Roles))
	for i, r := range k.Roles {
		names[i] = string(r)
	}
	_, err := ParseRoles(names)
	return err
}

// writeKeys replaces a file of keys.
func writeKeys(path string, keys []Key) error {
	b, err := json.MarshalIndent(keysFile{keys}, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(path, append(b, '\n'), keysPerm)
}

// NewKey describes a key that is to be made.
type NewKey struct {
	Name  string
	Roles []Role
	Rate  float64
	Burst int
	// Valid is how long it is good; 0 means until it is revoked.
	Valid time.Duration
}

// CreateKey adds a key to a file, which it makes if it is missing, and returns the key, which is kept nowhere. One process at a time may
// change a file.
func CreateKey(path string, n NewKey, now time.Time) (secret string, k Key, err error) {
	keys, err := ReadKeys(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", k, err
	}
	var id [idBytes]byte
	var random [keyBytes]byte
	_, _ = rand.Read(id[:])     // never fails
	_, _ = rand.Read(random[:]) // never fails
	text := hex.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(text))
	k = Key{
		ID: hex.EncodeToString(id[:]), Name: n.Name, Roles: n.Roles, Hash: hex.EncodeToString(hash[:]), Rate: n.Rate, Burst: n.Burst,
		Created: now.UTC().Truncate(time.Second),
	}
	if n.Valid != 0 {
		end := k.Created.Add(n.Valid)
		k.Expires = &end
	}
	if err := k.check(); err != nil {
		return "", k, err
	}
	return keyPrefix + k.ID + "_" + text, k, writeKeys(path, append(keys, k))
}

// RevokeKey marks the key with an id as revoked.
func RevokeKey(path, id string, now time.Time) (Key, error) {
	keys, err := ReadKeys(path)
	if err != nil {
		return Key{}, err
	}
	at := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
	if at < 0 {
		return Key{}, fmt.Errorf("key %q is not in %s; see 'kith key list'", id, path)
	}
	if keys[at].Revoked == nil {
		end := now.UTC().Truncate(time.Second)
		keys[at].Revoked = &end
	}
	return keys[at], writeKeys(path, keys)
}

// keyring knows the keys of a file, and follows it. Where the file cannot be read, the last good keys stay.
type keyring struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex // guards what follows
	looked time.Time
	info   os.FileInfo
	byID   map[string]Key
}

func openKeys(path string, log *slog.Logger, now func() time.Time) (*keyring, error) {
	r := &keyring{path: path, log: log, now: now, looked: now()}
	r.info, _ = os.Stat(path) // an error shows at reading
	return r, r.read()
}

func (r *keyring) read() error {
	keys, err := ReadKeys(r.path)
	if err != nil {
		return err
	}
	r.byID = make(map[string]Key, len(keys))
	for _, k := range keys {
		r.byID[k.ID] = k
	}
	return nil
}

// get returns the key with an id, as it is in the file or was a second ago.
func (r *keyring) get(id string) (Key, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.looked) >= lookEvery {
		r.looked = now
		if info, _ := os.Stat(r.path); !durable.Same(info, r.info) { // an error shows at reading
			r.info = info
			if err := r.read(); err != nil {
				r.log.Warn("go on with the keys as they were; the file cannot be used", "err", err)
			} else {
				r.log.Info("use new API keys", "keys", len(r.byID))
			}
		}
	}
	k, ok := r.byID[id]
	return k, ok
}

// caller returns who shows a key.
func (r *keyring) caller(secret string) (*Caller, error) {
	id, random, ok := strings.Cut(strings.TrimPrefix(secret, keyPrefix), "_")
	hash := sha256.Sum256([]byte(random))
	k, known := r.get(id)
	want, _ := hex.DecodeString(k.Hash) // checked at reading
	if !ok || !known || subtle.ConstantTimeCompare(hash[:], want) != 1 {
		return nil, fmt.Errorf("%w: the API key is not known here", wire.ErrUnauthenticated)
	}
	if state := k.State(r.now()); state != "active" {
		return nil, fmt.Errorf("%w: the API key %s is %s", wire.ErrUnauthenticated, k.ID, state)
	}
	return &Caller{Kind: "key", ID: k.ID, Name: k.Name, Roles: k.Roles, rate: k.Rate, burst: k.Burst}, nil
}
