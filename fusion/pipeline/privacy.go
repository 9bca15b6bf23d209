package pipeline

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"hash"
	"os"
	"strings"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/record"
)

// minSecret is the length of the shortest secret: what a person types without thinking is guessed.
const minSecret = 16

// hasher replaces texts by keyed hashes: 160 bits of HMAC-SHA256 as 32 letters and digits. It is not safe for concurrent use.
type hasher struct {
	mac hash.Hash
	sum []byte
}

// secretOf reads the secret of a file; nil if it names none.
func secretOf(f *fusion.File) ([]byte, error) {
	if f.SecretEnv == "" {
		return nil, nil
	}
	secret := os.Getenv(f.SecretEnv)
	if len(secret) < minSecret {
		return nil, f.Fail("secret_env", fmt.Errorf("%w: the environment variable %s has %d characters; set it to a secret of at least %d, the same in every run",
			fusion.ErrMapping, f.SecretEnv, len(secret), minSecret))
	}
	return []byte(secret), nil
}

func newHasher(secret []byte) *hasher { return &hasher{mac: hmac.New(sha256.New, secret)} }

var hashEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// of returns the hash of a text. Texts of different domains (users, a field) have different hashes, so that tables cannot be joined by them
// that the shop did not mean to.
func (h *hasher) of(domain, text string) string {
	return strings.ToLower(hashEncoding.EncodeToString(h.sumOf(domain, text)[:20]))
}

// sumOf returns the bytes of the hash of a text, until the next call.
func (h *hasher) sumOf(domain, text string) []byte {
	h.mac.Reset()
	h.sum = append(append(append(h.sum[:0], domain...), 0), text...)
	h.mac.Write(h.sum)
	h.sum = h.mac.Sum(h.sum[:0])
	return h.sum
}

// id returns what is stored of the id of an event that comes from a place. One that was made of the row still says from where, with a keyed digest
// of the row; one of the source's own is hashed as a whole, with a sign before it that no made id has.
func (h *hasher) id(id string, place record.Place) string {
	if o, ok := fusion.OriginOf(id); ok && o.At(place) {
		return fusion.WithDigest(id, h.sumOf("id", id))
	}
	return "#" + h.of("id", id)
}

// value returns what is stored of the value of a hashed field; a missing one stays missing.
func (h *hasher) value(field string, v record.Value) record.Value {
	if v.IsNull() {
		return v
	}
	return record.OfText(h.of(field, v.String()))
}

// StoredKey returns the key under which a user of a kind is stored, by the file and its secret. Kind is empty for the first one, or if there are
// none. Links are not followed: a key that was joined to another one has no pseudonym of its own.
func StoredKey(f *fusion.File, kind, key string) (string, error) {
	p, err := New(*f)
	if err != nil {
		return "", err
	}
	s := p.side(p.users)
	return s.key(kind, key), nil
}
