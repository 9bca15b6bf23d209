package consensus

import (
	"sync"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

// walMeta is the metadata store of a log. raft-wal does not close the one that it makes by itself: the file stays locked,
// and opening the log again in the same process waits for ever. Nor does closing a log wait for the goroutine that
// rotates its segments, so the store may be used until and after it is closed here.
type walMeta struct {
	// mu is held shared while db is used.
	mu sync.RWMutex
	db metadb.BoltMetaDB
}

var _ types.MetaStore = (*walMeta)(nil)

// Load implements types.MetaStore. It opens the file, so it excludes all other uses.
func (m *walMeta) Load(dir string) (types.PersistentState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.db.Load(dir)
}

// CommitState implements types.MetaStore.
func (m *walMeta) CommitState(s types.PersistentState) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.db.CommitState(s)
}

// GetStable implements types.MetaStore.
func (m *walMeta) GetStable(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.db.GetStable(key)
}

// SetStable implements types.MetaStore.
func (m *walMeta) SetStable(key, value []byte) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.db.SetStable(key, value)
}

// Close implements types.MetaStore. Uses after it return an error.
func (m *walMeta) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.db.Close()
}
