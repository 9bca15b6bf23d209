package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOpensAgainSoon has the folder of a replica be a file for a while, so that it cannot be opened.
func TestOpensAgainSoon(t *testing.T) {
	control := &decisions{}
	n := runNode(t, control, nil)
	if err := os.MkdirAll(filepath.Dir(n.dir(0)), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.dir(0), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	control.set(View{Epoch: 1, Replicas: [][]string{{"n1"}}, Applied: 1})
	until(t, n, "be refused", func() bool { return n.isRefused(0) })
	if err := os.Remove(n.dir(0)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	until(t, n, "open it", func() bool { return n.isOpen(0) })
	if took := time.Since(began); took > lookInterval/2 {
		t.Errorf("opened after %v, want %v or little more", took, openPause)
	}
}
