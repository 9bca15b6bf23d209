package node

import (
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// usageAge is how long the size of the data folder is taken for true: to add it up takes a look at each file.
const usageAge = 10 * time.Second

// usage knows how large a folder is. It is safe for concurrent use.
type usage struct {
	dir string

	mu    sync.Mutex
	bytes uint64
	at    time.Time
}

// size returns the size of all files in the folder, as of usageAge ago or later.
func (u *usage) size(now time.Time) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.at.IsZero() && now.Sub(u.at) < usageAge {
		return u.bytes
	}
	u.bytes, u.at = sizeOf(u.dir), now
	return u.bytes
}

// sizeOf returns the size of all files in a folder. What goes away meanwhile, or cannot be read, does not count.
func sizeOf(dir string) (total uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // files come and go under the walk
		}
		if info, err := d.Info(); err == nil {
			total += uint64(max(0, info.Size()))
		}
		return nil
	})
	return total
}

// describe says how this node is, without its replicas.
func (n *Node) describe(now time.Time) *kithv1.InfoResponse {
	free, total := n.disk.Sizes()
	return &kithv1.InfoResponse{
		ControlIndex: n.control.View().Applied, DiskFull: n.disk.Room() != nil,
		NowUnixMs: now.UnixMilli(), StartedUnixMs: n.started.UnixMilli(),
		DiskTotalBytes: total, DiskFreeBytes: free, DataBytes: n.usage.size(now),
	}
}
