package coordinator

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// secretBytes is the length of the seed of an Ed25519 key and of the key of the hash.
const secretBytes = 32

func (s *State) setSecrets(c *kithv1.SetSecrets) error {
	if s.Secrets != nil {
		return nil // the first ones count
	}
	if len(c.GetSigningSeed()) != secretBytes || len(c.GetHashKey()) != secretBytes {
		return fmt.Errorf("%w: secrets of %d and %d bytes, want %d", errCommand, len(c.GetSigningSeed()), len(c.GetHashKey()), secretBytes)
	}
	s.Secrets = c
	return nil
}

// PublicKey returns the key by which receipts of erasures are verified, or nil while there is none.
func (s *State) PublicKey() ed25519.PublicKey {
	if s.Secrets == nil {
		return nil
	}
	return ed25519.NewKeyFromSeed(s.Secrets.SigningSeed).Public().(ed25519.PublicKey)
}

// secrets returns those of the cluster, and makes them when there are none: a new cluster gets them at its begin, one of an earlier
// version when they are first needed.
func (c *Coordinator) secrets(ctx context.Context) (*kithv1.SetSecrets, error) {
	if s := c.State().Secrets; s != nil {
		return s, nil
	}
	fresh := make([]byte, 2*secretBytes)
	_, _ = rand.Read(fresh) // never fails
	_, err := c.Propose(ctx, &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetSecrets{SetSecrets: &kithv1.SetSecrets{
		SigningSeed: fresh[:secretBytes], HashKey: fresh[secretBytes:],
	}}})
	if err != nil {
		return nil, fmt.Errorf("make the secrets of the cluster: %w", err)
	}
	return c.State().Secrets, nil
}

// PublicKey returns the key by which receipts of erasures are verified.
func (c *Coordinator) PublicKey(ctx context.Context) (ed25519.PublicKey, error) {
	if _, err := c.secrets(ctx); err != nil {
		return nil, err
	}
	return c.State().PublicKey(), nil
}
