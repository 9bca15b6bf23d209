package gossip_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kith-io/kith/node/gossip"
)

// refusals is a log handler that tells when an address could not be joined.
type refusals struct {
	slog.Handler
	once *sync.Once
	seen chan struct{}
}

func newRefusals() refusals {
	return refusals{slog.DiscardHandler, &sync.Once{}, make(chan struct{})}
}

func (refusals) Enabled(context.Context, slog.Level) bool { return true }

func (r refusals) Handle(_ context.Context, rec slog.Record) error {
	if rec.Message == "join" {
		r.once.Do(func() { close(r.seen) })
	}
	return nil
}

// TestKeysChangeOnTheWay takes a cluster from one key to another, step by step and node by node. After every step all nodes still hear
// news of each other.
func TestKeysChangeOnTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gossip.keys")
	step := func(s gossip.KeyStep) [][]byte {
		t.Helper()
		if _, err := gossip.ChangeKeys(path, s); err != nil {
			t.Fatal(err)
		}
		keys, err := gossip.ReadKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	first := step(gossip.AddKey)
	nodes := []*peer{start(t, "a", func(c *gossip.Config, _ *gossip.Meta) { c.Keys = first })}
	for _, id := range []string{"b", "c"} {
		nodes = append(nodes, start(t, id, func(c *gossip.Config, _ *gossip.Meta) { c.Keys, c.Join = first, []string{nodes[0].Addr()} }))
	}
	ids := []string{"a", "b", "c"}
	news := 0
	talk := func(when string) {
		t.Helper()
		news++
		for i, p := range nodes {
			meta := p.sees(t, ids[i], gossip.Alive).Meta
			meta.Zone = fmt.Sprintf("news %d of %s", news, ids[i])
			if err := p.UpdateMeta(meta); err != nil {
				t.Fatal(err)
			}
		}
		deadline := time.After(patience)
		for _, p := range nodes {
			for i, id := range ids {
				for {
					if m, ok := p.Member(id); ok && m.State == gossip.Alive && m.Zone == fmt.Sprintf("news %d of %s", news, ids[i]) {
						break
					}
					select {
					case <-p.Changes():
					case <-time.After(50 * time.Millisecond): // the change may have been told of before
					case <-deadline:
						t.Fatalf("%s: the news of %s did not come", when, id)
					}
				}
			}
		}
	}
	talk("with the first key")
	for _, s := range []gossip.KeyStep{gossip.AddKey, gossip.UseKey, gossip.DropKeys} {
		keys := step(s)
		for i, p := range nodes {
			if err := p.SetKeys(keys); err != nil {
				t.Fatal(err)
			}
			talk(fmt.Sprintf("step %s, taken by %d nodes", s, i+1))
		}
	}
	second := step(gossip.DropKeys)
	if len(second) != 1 || string(second[0]) == string(first[0]) {
		t.Fatalf("the file has %d keys, or the first one still", len(second))
	}
	// The old key, and no key, do not get in any more.
	for id, keys := range map[string][][]byte{"old": first, "plain": nil} {
		log := newRefusals()
		start(t, id, func(c *gossip.Config, _ *gossip.Meta) {
			c.Keys, c.Join, c.Log = keys, []string{nodes[0].Addr()}, slog.New(log)
		})
		select {
		case <-log.seen:
		case <-time.After(patience):
			t.Errorf("%s was not refused", id)
		}
		for i, p := range nodes {
			if _, ok := p.Member(id); ok {
				t.Errorf("%s sees %s, which has not the key", ids[i], id)
			}
		}
	}
	late := start(t, "d", func(c *gossip.Config, _ *gossip.Meta) { c.Keys, c.Join = second, []string{nodes[0].Addr()} })
	late.sees(t, "c", gossip.Alive)
	nodes[2].sees(t, "d", gossip.Alive)
}

func TestKeysFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gossip.keys")
	if n, err := gossip.ChangeKeys(path, gossip.UseKey); err == nil {
		t.Errorf("a key of a file that is not there came first: %d", n)
	}
	if n, err := gossip.ChangeKeys(path, gossip.AddKey); n != 1 || err != nil {
		t.Fatalf("%d keys, %v", n, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	for name, text := range map[string]string{
		"empty": "\n# nothing\n", "short": "c2VjcmV0", "not base64": "secret!secret!secret!", "second is bad": "MDEyMzQ1Njc4OWFiY2RlZg==\nc2VjcmV0",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := gossip.ReadKeys(path)
		if err == nil || strings.Contains(err.Error(), "c2VjcmV0") || strings.Contains(err.Error(), "secret!") {
			t.Errorf("%s: %v; want an error without the key", name, err)
		}
	}
	plain := start(t, "a", nil)
	if err := plain.SetKeys([][]byte{make([]byte, 32)}); err == nil {
		t.Error("encryption began without a restart")
	}
}
