package erasure_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/erasure"
)

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func signed(t testing.TB) (*erasure.Receipt, []byte) {
	t.Helper()
	r := &erasure.Receipt{
		Format: erasure.Format, Cluster: "c", UserHash: "00ff", Time: "2026-11-25T10:00:00Z", Partition: 3, LogIndex: 12,
		Removed: erasure.Removed{Events: 5, Profile: true}, Purged: []string{"a<b>"}, Waiting: []string{}, Versions: []uint64{7}, CleanAfter: 7,
	}
	receipt, signature, err := erasure.Sign(key(1), r)
	if err != nil {
		t.Fatal(err)
	}
	file, err := erasure.File(receipt, signature, public(key(1)))
	if err != nil {
		t.Fatal(err)
	}
	return r, file
}

func TestVerify(t *testing.T) {
	want, file := signed(t)
	trusted, err := erasure.DecodeKey(erasure.EncodeKey(public(key(1))))
	if err != nil {
		t.Fatal(err)
	}
	got, err := erasure.Verify(file, trusted)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("error %v, -want +got:\n%s", err, diff)
	}
	if _, err := erasure.Verify(file, public(key(2))); !errors.Is(err, erasure.ErrForged) {
		t.Errorf("another key: got %v, want ErrForged", err)
	}
	for _, change := range [][2]string{{`"events": 5`, `"events": 6`}, {`"00ff"`, `"00fe"`}, {`"partition": 3`, `"partition": 3, "more": 1`}} {
		changed := bytes.Replace(file, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(changed, file) {
			t.Fatalf("there is no %s in %s", change[0], file)
		}
		if _, err := erasure.Verify(changed, trusted); !errors.Is(err, erasure.ErrForged) {
			t.Errorf("%s: got %v, want ErrForged", change[1], err)
		}
	}
	if _, err := erasure.Verify(file[:len(file)/2], trusted); !errors.Is(err, erasure.ErrMalformed) {
		t.Errorf("half a file: got %v, want ErrMalformed", err)
	}
	if _, err := erasure.Verify(file, nil); !errors.Is(err, erasure.ErrMalformed) {
		t.Errorf("no key: got %v, want ErrMalformed", err)
	}
	if _, err := erasure.DecodeKey("abc"); !errors.Is(err, erasure.ErrMalformed) {
		t.Errorf("short key: got %v, want ErrMalformed", err)
	}
}

// FuzzVerify: no file is taken that says something else than what was signed.
func FuzzVerify(f *testing.F) {
	want, file := signed(f)
	f.Add(file)
	f.Add([]byte(`{"receipt":{"format":1},"signature":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := erasure.Verify(b, public(key(1)))
		if err == nil {
			if diff := cmp.Diff(want, r); diff != "" {
				t.Fatalf("taken: %s", diff)
			}
		} else if !errors.Is(err, erasure.ErrForged) && !errors.Is(err, erasure.ErrMalformed) {
			t.Fatalf("%v matches neither", err)
		}
	})
}
