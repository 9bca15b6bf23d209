package node

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/partition"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// keepFiles makes the files of model versions follow the decisions until ctx is done. It is apart from Run: a copy takes as long as
// the network does, and replicas come and go meanwhile.
func (n *Node) keepFiles(ctx context.Context) {
	timer := time.NewTicker(lookInterval)
	defer timer.Stop()
	opened := map[earlyFile]bool{}
	for ctx.Err() == nil {
		changed := n.control.Changed()
		n.openActive(opened)
		n.copyMissing(ctx)
		n.dropOld()
		n.passed.wake()
		select {
		case <-changed:
		case <-n.lost:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// versionFile is a file of a version.
type versionFile struct {
	version uint64
	file    artifact.Info
}

// copyMissing fetches the files of the kept versions that this node should have and lacks. A decision on the way changes what is
// fetched next. What fails is tried again later; queries go to other replicas until then.
func (n *Node) copyMissing(ctx context.Context) {
	tried := map[versionFile]bool{}
	view := n.control.View()
	missing := n.missing(view)
	for len(missing) > 0 && ctx.Err() == nil {
		if now := n.control.View(); !now.sameFiles(&view) {
			view, missing = now, n.missing(now)
			continue
		}
		next := missing[0]
		missing = missing[1:]
		if tried[next] {
			continue
		}
		tried[next] = true
		if err := n.fetch(ctx, view, next.version, next.file); err != nil && ctx.Err() == nil {
			n.cfg.Logger.Warn("fetch file of a model version", "version", next.version, "file", next.file.Name, "err", err)
		}
		n.passed.wake()
	}
}

// dropOld closes and removes the versions that are not kept.
func (n *Node) dropOld() {
	view := n.control.View()
	keep := map[uint64]bool{view.Job: true}
	for _, v := range view.Versions {
		keep[v.Version] = true
	}
	n.versions.retain(keep)
	n.versions.dropEarly(func(version uint64) bool { return !keep[version] && version <= view.Applied })
	if err := n.versions.dropOthers(keep, view.Applied); err != nil {
		n.cfg.Logger.Warn("drop old model versions", "err", err)
	}
}

// sameFiles reports whether two views want the same files, on every node.
func (v *View) sameFiles(o *View) bool {
	return v.Active == o.Active && v.Epoch == o.Epoch && slices.Equal(v.Moves, o.Moves) &&
		slices.EqualFunc(v.Versions, o.Versions, func(a, b VersionView) bool { return a.Version == b.Version })
}

// missing returns the files that this node should have and does not: those of the active version first, then of the newest.
func (n *Node) missing(view View) (out []versionFile) {
	versions := slices.Clone(view.Versions)
	slices.SortFunc(versions, func(a, b VersionView) int {
		switch {
		case a.Version == view.Active:
			return -1
		case b.Version == view.Active:
			return 1
		}
		return cmp.Compare(b.Version, a.Version)
	})
	for _, v := range versions {
		for _, file := range n.wanted(view, v) {
			out = append(out, versionFile{v.Version, file})
		}
	}
	return out
}

// wanted returns the files of a version that this node should have and does not.
func (n *Node) wanted(view View, v VersionView) []artifact.Info {
	want := map[string]bool{artifact.DictionaryName: true}
	for p := range view.Replicas {
		if view.Holds(partition.ID(p), n.cfg.ID) {
			want[artifact.ListsName(uint32(p))] = true
			want[artifact.RowsName(uint32(p))] = true
		}
	}
	var out []artifact.Info
	for _, f := range v.Files {
		_, ofModel := artifact.ModelOf(f.Name)
		if (want[f.Name] || ofModel) && !n.versions.files.Has(v.Version, f) {
			out = append(out, f)
		}
	}
	return out
}

// ofPartition reports whether a file of a version belongs to a partition.
func ofPartition(name string, p uint32) bool {
	return name == artifact.ListsName(p) || name == artifact.RowsName(p)
}

// holders returns the nodes that may have a file, in the order in which they are asked. Those that hold its partition come first, but
// one that held it before may be the only one that has the file: it keeps the file as long as the version is kept, and with one replica a
// move may end before the new holder knows the version. To be told that a node does not have it costs a call.
func (n *Node) holders(view View, file string) []string {
	var hold []string // nobody in particular has the dictionary and the models: all have them
	for p, nodes := range view.Replicas {
		if !ofPartition(file, uint32(p)) {
			continue
		}
		hold = slices.Clone(nodes)
		for _, m := range view.Moves {
			if m.Partition == uint32(p) {
				hold = append(hold, m.Remove, m.Add)
			}
		}
	}
	alive := n.peers.Alive()
	var first, last []string
	for _, node := range hold {
		if slices.Contains(alive, node) {
			first = append(first, node)
		} else {
			last = append(last, node)
		}
	}
	for _, node := range alive {
		if !slices.Contains(hold, node) {
			first = append(first, node)
		}
	}
	return slices.DeleteFunc(append(first, last...), func(id string) bool { return id == "" || id == n.cfg.ID })
}

// fetch copies a file from the first node that has it.
func (n *Node) fetch(ctx context.Context, view View, version uint64, file artifact.Info) error {
	err := wire.ErrNotReady
	for _, node := range n.holders(view, file.Name) {
		_, err = n.worker.CopyArtifact(ctx, &kithv1.CopyArtifactRequest{
			Version: version, Node: node, GrpcAddr: n.peers.Addr(node),
			Artifacts: []*kithv1.Artifact{{Name: file.Name, SizeBytes: file.SizeBytes, Checksum: file.Checksum}},
		})
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}
