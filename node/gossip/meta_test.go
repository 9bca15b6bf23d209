package gossip

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMetaOfEarlierVersions reads what a node says that knows no id of its folder, and what one says that adds more at the end.
func TestMetaOfEarlierVersions(t *testing.T) {
	m := Meta{ID: "n1", Zone: "z", GRPCAddr: "h:1", RaftAddr: "h:2", Version: "v", ClusterID: "c", Weight: 2, BootstrapExpect: 3, HasState: true}
	b, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, length := range map[string]int{"without a folder": len(b) - 2, "without a level": len(b) - 1} {
		old, err := decodeMeta(b[:length])
		if err != nil || old != m {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, cmp.Diff(m, old))
		}
	}
	m.Folder, m.Level = "f", 300
	if b, err = m.encode(); err != nil {
		t.Fatal(err)
	}
	later, err := decodeMeta(append(b, 3, 'n', 'e', 'w'))
	if err != nil || later != m {
		t.Errorf("of a later version: %v (-want +got):\n%s", err, cmp.Diff(m, later))
	}
	if _, err := decodeMeta(b[:len(b)-1]); err == nil {
		t.Error("metadata that are cut short are read")
	}
}
