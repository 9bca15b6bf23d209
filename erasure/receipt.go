// Package erasure has the receipts of erasures: what they say, how a cluster signs them, and how anyone verifies them without it.
package erasure

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// domain is signed before each receipt, so that the signature is of nothing else.
const domain = "kith erasure receipt 1\n"

// Format is the version of receipts.
const Format = 1

// Receipt says what was erased. Fields are only added. It names the user by a hash only.
type Receipt struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	// UserHash is HMAC-SHA256 of the user, hexadecimal, with a key that never leaves the cluster.
	UserHash string `json:"user_hash"`
	// Time is when it was asked for, by RFC 3339.
	Time      string `json:"time"`
	Partition uint32 `json:"partition"`
	// LogIndex is where in the log of the partition something of the user was last removed.
	LogIndex uint64 `json:"log_index"`
	// MayReturn says that old events of the user are taken again.
	MayReturn bool    `json:"may_return"`
	Removed   Removed `json:"removed"`
	// Purged are the members whose replicas have rewritten the files that held the user. Waiting have not said so: they do what the log
	// says as soon as they are back.
	Purged  []string `json:"purged"`
	Waiting []string `json:"waiting"`
	// Versions of the model may have been computed with events of the user. Answers do not name the user; what the user did counts in
	// them, until a build replaces them.
	Versions []uint64 `json:"model_versions"`
	// CleanAfter is the highest number of a version or of a running build that may: later ones do not.
	CleanAfter uint64 `json:"clean_after_version"`
	// Joined are the keys that were joined to the user, and were erased with it, by this request or an earlier one.
	Joined []Joined `json:"joined,omitempty"`
}

// Joined is a key that was erased with another. What was removed of its own is what had not become the other's.
type Joined struct {
	UserHash  string  `json:"user_hash"`
	Partition uint32  `json:"partition"`
	LogIndex  uint64  `json:"log_index"`
	Removed   Removed `json:"removed"`
}

// Removed counts what is gone.
type Removed struct {
	Events  uint64 `json:"events"`
	Profile bool   `json:"profile"`
}

// Signed is a receipt with its signature, as files hold it.
type Signed struct {
	Receipt   json.RawMessage `json:"receipt"`
	PublicKey string          `json:"public_key"`
	Signature string          `json:"signature"`
}

// Errors of verification, to be tested with errors.Is.
var (
	// ErrForged means that the signature is not one of the key over the receipt.
	ErrForged = errors.New("the signature does not fit")
	// ErrMalformed means that something is not what it should be at all.
	ErrMalformed = errors.New("malformed")
)

// Sign returns the receipt as JSON without white space, and its signature.
func Sign(key ed25519.PrivateKey, r *Receipt) (receipt, signature []byte, err error) {
	if receipt, err = json.Marshal(r); err != nil {
		return nil, nil, fmt.Errorf("receipt: %w", err)
	}
	return receipt, ed25519.Sign(key, append([]byte(domain), receipt...)), nil
}

// File returns a signed receipt as a file holds it.
func File(receipt, signature []byte, key ed25519.PublicKey) ([]byte, error) {
	b, err := json.MarshalIndent(Signed{Receipt: receipt, PublicKey: EncodeKey(key), Signature: base64.StdEncoding.EncodeToString(signature)}, "", "  ")
	return append(b, '\n'), err
}

// EncodeKey returns a key as people copy it.
func EncodeKey(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// DecodeKey reads what EncodeKey wrote.
func DecodeKey(s string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: key %.60q; want the %d characters that 'kith erase --public-key' prints", ErrMalformed, s, base64.StdEncoding.EncodedLen(ed25519.PublicKeySize))
	}
	return b, nil
}

// Verify checks a file with a key that the caller trusts; the key in the file proves nothing. White space within the receipt does not
// count. Errors match ErrForged or ErrMalformed.
func Verify(file []byte, key ed25519.PublicKey) (*Receipt, error) {
	var s Signed
	if err := json.Unmarshal(file, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: key of %d bytes", ErrMalformed, len(key))
	}
	signature, err := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil {
		return nil, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	signed := bytes.NewBufferString(domain)
	if err := json.Compact(signed, s.Receipt); err != nil {
		return nil, fmt.Errorf("%w: receipt: %w", ErrMalformed, err)
	}
	if !ed25519.Verify(key, signed.Bytes(), signature) {
		return nil, fmt.Errorf("%w: the receipt was changed, or another cluster signed it", ErrForged)
	}
	r := &Receipt{}
	if err := json.Unmarshal(s.Receipt, r); err != nil {
		return nil, fmt.Errorf("%w: receipt: %w", ErrMalformed, err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("%w: receipt of format %d, this program reads %d", ErrMalformed, r.Format, Format)
	}
	return r, nil
}
