package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kith-io/kith/node/store"
	"github.com/kith-io/kith/partition"
)

// mendPause is how long an event store must have been good before a copy of it is set aside again: a disk that spoils all that is
// written to it needs a person, and would fill up with copies.
const mendPause = time.Hour

// errSpoiled refuses a replica whose event store is damaged again and again.
var errSpoiled = fmt.Errorf("%w again, less than %v after it was made anew: check the disk, then restart this server", store.ErrCorrupt, mendPause)

// openStore opens the event store of a partition. A damaged one is set aside, and an empty one opened: the raft group fills it from
// its snapshot and its log, which are complete by themselves and have checksums, or else refuses to start.
func (n *Node) openStore(id partition.ID, dir string) (*store.Store, error) {
	o := store.Options{Dir: dir, Cache: n.cache, Histories: n.histories, Items: n.items, Log: n.cfg.Logger, Room: n.disk.LogRoom, Failed: n.trouble.give}
	st, err := store.Open(o)
	if !errors.Is(err, store.ErrCorrupt) {
		return st, err
	}
	if err := n.setAside(id, dir, err); err != nil {
		return nil, err
	}
	return store.Open(o)
}

// setAside renames the folder of a damaged event store. It is never deleted: only a person can tell that it has no more use.
func (n *Node) setAside(id partition.ID, dir string, why error) error {
	now := time.Now()
	n.mu.Lock()
	last, again := n.mended[id]
	n.mended[id] = now
	n.mu.Unlock()
	if again && now.Sub(last) < mendPause {
		return fmt.Errorf("event store %s: %w: %w", dir, errSpoiled, why)
	}
	to := dir + ".damaged-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(dir, to); err != nil {
		return fmt.Errorf("set aside a damaged event store: %w", errors.Join(err, why))
	}
	n.cfg.Logger.Error("event store is damaged: it is set aside and made anew", "partition", id, "moved", to, "err", why)
	return nil
}

// troubled converts an error of a replica, and has the replica mended if it says that it is damaged.
func (n *Node) troubled(r *replica, err error) error {
	if r.store.Trouble() != nil {
		n.trouble.give()
	}
	return r.convert(err)
}

// mend closes the replicas whose event stores are damaged, or have failed to write; they are opened again after it. The other
// replicas of a partition go on meanwhile.
func (n *Node) mend(ctx context.Context) {
	for _, r := range n.all() {
		why := r.store.Trouble()
		if why == nil {
			continue
		}
		n.cfg.Logger.Error("replica is closed to be mended", "partition", r.id, "err", why)
		n.mu.Lock()
		delete(n.replicas, r.id)
		n.mu.Unlock()
		n.apart(ctx, r.id, func() error {
			if err := r.close(); err != nil {
				n.cfg.Logger.Warn("close a replica to be mended", "partition", r.id, "err", err)
			}
			if !errors.Is(why, store.ErrCorrupt) {
				return nil
			}
			if err := n.setAside(r.id, r.eventsDir, why); err != nil {
				n.opened(r.id, nil, err)
			}
			return nil
		})
	}
}
