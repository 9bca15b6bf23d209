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
	old, err := decodeMeta(b[:len(b)-1])
	if err != nil || old != m {
		t.Errorf("without a folder: %v (-want +got):\n%s", err, cmp.Diff(m, old))
	}
	m.Folder = "f"
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
