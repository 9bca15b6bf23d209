package node

import (
	"io"
	"maps"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/partition"
	"github.com/kith-io/kith/similarity"
)

// earlyFile names a file of a version.
type earlyFile struct {
	version uint64
	name    string
}

// openEarly opens a file that queries need when a build has written it, so that the first of the version do not wait until it has been read through: a dictionary, neighbor lists, or
// rows if the active version is searched for similar users, on the thread of the caller. What is wrong with it is told when a query opens it.
func (v *Versions) openEarly(version uint64, name string) {
	var file io.Closer
	var err error
	if p, _ := artifact.PartitionOf(name); name == artifact.DictionaryName {
		file, err = v.files.OpenDictionary(version)
	} else if artifact.IsLists(name) {
		file, err = v.files.OpenLists(version, p)
	} else if o, searched := v.searched(name); searched {
		var rows *userRows
		if rows, err = v.openUserRows(version, p, similarity.NewUserWeigher(o.Measure, 0, nil), o, 1); rows != nil {
			file = rows
		}
	}
	if file == nil || err != nil {
		return
	}
	key := earlyFile{version, name}
	v.mu.Lock()
	old := v.early[key] // of an attempt that was given up
	if v.stopped {
		old = file
	} else {
		v.early[key] = file
	}
	v.mu.Unlock()
	if old != nil {
		_ = old.Close() // only read
	}
}

// searched returns the options by which the rows of a partition have been searched in the active version, which the next one has, too, if nobody changes them. It reports false for
// those that weigh rows by what only the dictionary tells.
func (v *Versions) searched(name string) (o similarity.Options, ok bool) {
	active := v.control.View().Active
	v.mu.RLock()
	defer v.mu.RUnlock()
	m := v.open[active]
	if m == nil || m.Similarity.Measure.NeedsCounts() {
		return o, false
	}
	for p := range m.users {
		if artifact.RowsName(uint32(p)) == name {
			return m.Similarity, m.users[p].Load() != nil
		}
	}
	return o, false
}

// takeEarly returns a file that was opened early, once, or nil.
func (v *Versions) takeEarly(version uint64, name string) io.Closer {
	key := earlyFile{version, name}
	v.mu.Lock()
	defer v.mu.Unlock()
	file := v.early[key]
	delete(v.early, key)
	return file
}

// dropEarly closes what was opened early of some versions.
func (v *Versions) dropEarly(of func(version uint64) bool) {
	v.mu.Lock()
	var gone []io.Closer
	for key, file := range v.early {
		if of(key.version) {
			delete(v.early, key)
			gone = append(gone, file)
		}
	}
	v.mu.Unlock()
	for _, file := range gone {
		_ = file.Close() // only read
	}
}

// openActive opens what all queries need of the active version and this node has, after a start above all. It looks at each file once, as opened says: what cannot be opened is
// fetched again, and then opened early or by a query.
func (n *Node) openActive(opened map[earlyFile]bool) {
	view := n.control.View()
	m, err := n.versions.Acquire(view.Active)
	if err != nil {
		return
	}
	defer m.Release()
	maps.DeleteFunc(opened, func(f earlyFile, _ bool) bool { return f.version != m.Version })
	held := map[string]uint32{}
	for p := range view.Replicas {
		if view.Holds(partition.ID(p), n.cfg.ID) {
			held[artifact.ListsName(uint32(p))] = uint32(p)
		}
	}
	for _, f := range m.Files {
		key := earlyFile{m.Version, f.Name}
		p, lists := held[f.Name]
		if opened[key] || !lists && f.Name != artifact.DictionaryName || !n.versions.files.Has(m.Version, f) {
			continue
		}
		opened[key] = true
		if lists {
			_, err = m.Lists(p)
		} else {
			_, err = m.Dictionary()
		}
		if err != nil {
			n.cfg.Logger.Warn("open a file of the active model version", "err", err)
		}
	}
}
