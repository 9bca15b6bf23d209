package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/kith-io/kith/node/wire"
)

const (
	// mostReserve and reserveShare give the default reserve: one in so many bytes of the disk, but 256 MiB at most. That holds what
	// is under way when a node stops to take events: the entries that other leaders still send it, and what its event stores have
	// in memory, 8 MiB for each partition in the common case.
	mostReserve  = 256 << 20
	reserveShare = 100
	// lowShare is the part of the reserve, one in so many, that is left when also the logs take no entries any more. What must go
	// on then, such as terms and votes, needs a few KiB.
	lowShare = 4
	// diskAge is how old a look at the disk may be: a fast disk takes some hundred MiB in that time.
	diskAge = 200 * time.Millisecond
)

// DiskConfig sets up a Disk.
type DiskConfig struct {
	Node string
	Dir  string
	// ReserveBytes is what stays free on the disk: below it the node takes no new data. 0 means 1% of the disk, or 256 MiB if that is
	// less.
	ReserveBytes int64
	// Space returns the free bytes and the size of the disk of a folder; nil asks the system.
	Space  func(dir string) (free, total uint64, err error)
	Logger *slog.Logger
}

// Disk knows whether the disk of the node has room. There are two marks, so that a node refuses in order: below the reserve it
// takes no new events and no builds, and below a quarter of that its logs and event stores take nothing either. There is room again
// when a quarter more than the mark is free, so that the node does not waver. It is safe for concurrent use.
type Disk struct {
	cfg DiskConfig

	mu        sync.Mutex // guards what follows; held while the system is asked, which answers from memory
	looked    time.Time
	free      uint64
	total     uint64
	reserve   uint64
	full, low bool
	changed   signal
}

// NewDisk returns a Disk that has looked once.
func NewDisk(cfg DiskConfig) (*Disk, error) {
	if cfg.Space == nil {
		cfg.Space = diskSpace
	}
	free, total, err := cfg.Space(cfg.Dir)
	if err != nil {
		return nil, err
	}
	d := &Disk{cfg: cfg, free: free, total: total, reserve: uint64(cfg.ReserveBytes)}
	if cfg.ReserveBytes <= 0 {
		d.reserve = min(total/reserveShare, mostReserve)
	}
	d.look()
	return d, nil
}

// look brings the state up to date, if it is too old.
func (d *Disk) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.looked) < diskAge {
		return
	} else if free, _, err := d.cfg.Space(d.cfg.Dir); err != nil {
		d.cfg.Logger.Warn("disk cannot be looked at", "err", err)
	} else {
		d.free, d.looked = free, now
	}
	was := d.full
	d.full = below(d.full, d.free, d.reserve)
	d.low = below(d.low, d.free, d.reserve/lowShare)
	if d.full == was {
		return
	}
	d.changed.wake()
	if d.full {
		d.cfg.Logger.Error("disk is full: no new events until there is room", "dir", d.cfg.Dir, "free_mib", d.free>>20, "reserve_mib", d.reserve>>20)
	} else {
		d.cfg.Logger.Info("disk has room again", "dir", d.cfg.Dir, "free_mib", d.free>>20)
	}
}

// below reports whether free is below a mark, which it passes upwards only when it is a quarter above.
func below(was bool, free, mark uint64) bool {
	if was {
		return free < mark+mark/4
	}
	return free < mark
}

// Room returns nil if the node may take new data, and otherwise an error that matches wire.ErrDiskFull.
func (d *Disk) Room() error {
	d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.full {
		return nil
	}
	return d.refusal()
}

// LogRoom is Room for what other nodes have decided, and for events that are acknowledged: there is more of it.
func (d *Disk) LogRoom() error {
	d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.low {
		return nil
	}
	return d.refusal()
}

func (d *Disk) refusal() error {
	return fmt.Errorf("node %s: %w: %d MiB are free in %s, and %d MiB are kept in reserve; delete files, enlarge the disk, or lower --disk-reserve-mib",
		d.cfg.Node, wire.ErrDiskFull, d.free>>20, d.cfg.Dir, d.reserve>>20)
}

// Free returns the bytes that were free at the last look.
func (d *Disk) Free() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free
}

// Sizes returns the bytes that are free and the size of the disk.
func (d *Disk) Sizes() (free, total uint64) {
	d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free, d.total
}

// Reserve returns the free bytes below which the node takes no new data.
func (d *Disk) Reserve() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reserve
}

// Changed returns a channel that is closed when Room changes next.
func (d *Disk) Changed() <-chan struct{} { return d.changed.next() }

// Run looks at the disk until ctx is done, so that a change is noticed when nobody asks.
func (d *Disk) Run(ctx context.Context) {
	ticker := time.NewTicker(2 * diskAge)
	defer ticker.Stop()
	for {
		d.look()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
