package auth

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kith-io/kith/node/wire"
)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Truncate(time.Second)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newKey(t *testing.T, path string, now time.Time, n NewKey) (string, Key) {
	t.Helper()
	if n.Name == "" {
		n.Name = "test"
	}
	secret, k, err := CreateKey(path, n, now)
	if err != nil {
		t.Fatal(err)
	}
	return secret, k
}

func TestKeysLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	c := newClock()
	web, webKey := newKey(t, path, c.now(), NewKey{Name: "web", Roles: []Role{Read}, Rate: 5, Burst: 7})
	brief, _ := newKey(t, path, c.now(), NewKey{Roles: []Role{Write}, Valid: time.Hour})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), web[len(keyPrefix)+2*idBytes+1:]) {
		t.Errorf("the file has the secret (%v)", err)
	}
	r, err := openKeys(path, slog.New(slog.DiscardHandler), c.now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.caller(web)
	if err != nil || got.ID != webKey.ID || got.Name != "web" || len(got.Roles) != 1 || got.Roles[0] != Read || got.rate != 5 || got.burst != 7 {
		t.Fatalf("got %+v, %v", got, err)
	}
	refuse := func(why, secret string) {
		t.Helper()
		if got, err := r.caller(secret); !errors.Is(err, wire.ErrUnauthenticated) {
			t.Errorf("%s: got %+v, %v; want it refused", why, got, err)
		} else if len(secret) > 40 && strings.Contains(err.Error(), secret[30:]) {
			t.Errorf("%s: the error %q tells the secret", why, err)
		}
	}
	refuse("empty", keyPrefix)
	refuse("no secret", keyPrefix+webKey.ID)
	refuse("empty secret", keyPrefix+webKey.ID+"_")
	refuse("one letter less", web[:len(web)-1])
	refuse("one letter more", web+"0")
	refuse("upper case", keyPrefix+strings.ToUpper(web[len(keyPrefix):]))
	refuse("the hash", keyPrefix+webKey.ID+"_"+webKey.Hash)
	refuse("secret of another", keyPrefix+webKey.ID+brief[len(keyPrefix)+2*idBytes:])
	refuse("unknown", keyPrefix+"0011223344556677_"+strings.Repeat("0", 64))
	if _, err := r.caller(brief); err != nil {
		t.Errorf("before its end: %v", err)
	}
	c.pass(time.Hour)
	refuse("at its end", brief)

	// The file is followed: keys come and go without a restart.
	late, _ := newKey(t, path, c.now(), NewKey{Roles: []Role{Admin}})
	c.pass(lookEvery)
	if _, err := r.caller(late); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if _, err := RevokeKey(path, webKey.ID, c.now()); err != nil {
		t.Fatal(err)
	}
	c.pass(lookEvery)
	refuse("revoked", web)
	if _, err := RevokeKey(path, "0011223344556677", c.now()); err == nil {
		t.Error("a key that is not there was revoked")
	}
	// What cannot be read changes nothing.
	for _, text := range []string{"{", `{"keys":[{"id":"x"}]}`, `{"keys":[],"other":1}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.pass(lookEvery)
		if _, err := r.caller(late); err != nil {
			t.Errorf("after %s was written: %v", text, err)
		}
		if _, err := ReadKeys(path); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c.pass(lookEvery)
	if _, err := r.caller(late); err != nil {
		t.Errorf("without the file: %v", err)
	}
}

func TestKeysAreChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	for _, n := range []NewKey{
		{Name: "none"}, {Roles: []Role{Node}}, {Roles: []Role{"root"}}, {Roles: []Role{Read}, Rate: -1}, {Roles: []Role{Read}, Burst: -1},
	} {
		if _, _, err := CreateKey(path, n, time.Now()); err == nil {
			t.Errorf("%+v was made", n)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a key that was refused made the file")
	}
}

func FuzzKey(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keys.json")
	secret, _, err := CreateKey(path, NewKey{Name: "f", Roles: []Role{Read}}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	r, err := openKeys(path, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(secret)
	f.Add("kith__")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := r.caller(text); err == nil && text != secret && keyPrefix+text != secret {
			t.Errorf("%q gets in", text)
		}
	})
}
