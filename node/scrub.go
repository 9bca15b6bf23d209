package node

import (
	"context"
	"math/rand/v2"
	"time"
)

// scrubInterval suits disks that fail slowly: damage is found while other replicas are likely to be good.
const scrubInterval = 24 * time.Hour

// scrubNowAndThen scrubs at intervals of 0.5 to 1.5 of that which is configured, so that nodes do not do it all at once.
func (n *Node) scrubNowAndThen(ctx context.Context) {
	mean := n.cfg.ScrubInterval
	if mean == 0 {
		mean = scrubInterval
	}
	for {
		timer := time.NewTimer(time.Duration(float64(mean) * (0.5 + rand.Float64())))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		began := time.Now()
		damaged := n.Scrub(ctx)
		n.cfg.Logger.Info("read all files", "damaged", damaged, "took", time.Since(began).Round(time.Millisecond))
	}
}

// Scrub reads all files of this node and compares their checksums, one file at a time. It reports what is damaged and has it
// mended, which goes on after the return: an event store is made anew, a file of a model version fetched again, and a log cut off where a
// new snapshot covers the damage. It returns how much was damaged. Cost: reading everything.
func (n *Node) Scrub(ctx context.Context) (damaged int) {
	for _, r := range n.all() {
		for _, err := range []error{r.store.Verify(ctx), r.group.Verify(ctx)} {
			if err == nil || ctx.Err() != nil {
				continue
			}
			damaged++
			n.cfg.Logger.Error("damage found", "partition", r.id, "err", n.troubled(r, err))
		}
	}
	return damaged + n.scrubVersions(ctx)
}

// scrubVersions reads the files of the kept model versions.
func (n *Node) scrubVersions(ctx context.Context) (damaged int) {
	for _, v := range n.control.View().Versions {
		for _, want := range v.Files {
			if ctx.Err() != nil {
				return damaged
			}
			if !n.versions.files.Has(v.Version, want) {
				continue // fetched in any case
			}
			got, err := n.versions.files.Info(v.Version, want.Name)
			if err == nil && got == want {
				continue
			}
			damaged++
			n.cfg.Logger.Error("file of a model version is damaged; it is fetched again", "version", v.Version, "file", want.Name, "err", err)
			if err := n.versions.files.SetAside(v.Version, want.Name); err != nil {
				n.cfg.Logger.Error("damaged file", "err", err)
			}
			n.versions.reopen(v.Version)
			n.lost.give()
		}
	}
	return damaged
}
