package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/durable"
)

// folderFormat is the version of all that is in a data folder: of its layout, and of the files that have no version of their own,
// such as the logs. A version that an earlier program cannot read gets the next number: so does each level of the control log, as earlier programs must
// not read logs of it.
const folderFormat = firstFormat + coordinator.Level

// firstFormat is the version of a new folder.
const firstFormat = 1

// folderFile is the name of the file in a data folder that says what the folder is.
const folderFile = "format"

// folder is what a data folder says about itself. It is safe for concurrent use.
type folder struct {
	dir string

	mu sync.Mutex
	is folderIs
}

// folderIs is the content of folderFile, as YAML.
type folderIs struct {
	// Format is the version of the folder.
	Format int `yaml:"format"`
	// Cluster is the id of the cluster that the folder belongs to; empty until it has been part of one.
	Cluster string `yaml:"cluster,omitempty"`
	// ID names the folder, so that another one with the same node id is told from it. Folders of earlier programs get one when they
	// are opened.
	ID string `yaml:"id,omitempty"`
	// Admitted means that the folder belongs to the member of its id, or to none before: see admission.
	Admitted bool `yaml:"admitted,omitempty"`
}

// openFolder reads what the data folder dir says about itself; a new one says it from now on. It returns an error if this program
// cannot read it. The caller has locked the folder.
func openFolder(dir string) (*folder, error) {
	f := &folder{dir: dir}
	path := filepath.Join(dir, folderFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "node-id")); err == nil {
			return nil, fmt.Errorf("data folder %s has no file %q: it is damaged, or of a kith from before formats had numbers, which this one cannot read; if other servers "+
				"have the data, start with an empty folder and a new id, and let the old id leave with 'kith cluster leave'", dir, folderFile)
		}
		f.is.Format, f.is.ID = firstFormat, newID()
		return f, f.write(f.is)
	}
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalWithOptions(b, &f.is, yaml.Strict()); f.is.Format > folderFormat {
		return nil, fmt.Errorf("data folder %s was written by a newer kith: format %d, this one reads up to %d; use the newer program", dir, f.is.Format, folderFormat)
	} else if err != nil || f.is.Format < 1 {
		return nil, fmt.Errorf("%s is damaged: it holds %q; write 'format: %d' into it, 'cluster: ' with the id of the cluster and 'id: ' with that of the folder, which "+
			"'kith cluster members -o json' shows on another server", path, b, folderFormat)
	}
	if f.is.ID == "" {
		f.is.ID = newID()
		return f, f.write(f.is)
	}
	return f, nil
}

// write replaces the file, durably.
func (f *folder) write(is folderIs) error {
	b, err := yaml.Marshal(is)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(f.dir, folderFile), b, folderPerm)
}

// cluster returns the id of the cluster that the folder belongs to, or "".
func (f *folder) cluster() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is.Cluster
}

// id returns the id of the folder.
func (f *folder) id() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is.ID
}

// admitted reports whether admit was called for the folder, or the folder has been part of a cluster.
func (f *folder) admitted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is.Admitted || f.is.Cluster != ""
}

// admit records that the folder may be that of a member.
func (f *folder) admit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := f.is
	is.Admitted = true
	if err := f.write(is); err != nil {
		return err
	}
	f.is = is
	return nil
}

// raise keeps programs away from the folder that do not know a level of the control log, which the cluster has.
func (f *folder) raise(level uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := f.is
	if is.Format = max(is.Format, firstFormat+int(level)); is == f.is {
		return nil
	}
	if err := f.write(is); err != nil {
		return err
	}
	f.is = is
	return nil
}

// claim makes the folder one of a cluster for all time. It returns an error if it belongs to another.
func (f *folder) claim(cluster string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.is.Cluster {
	case cluster:
		return nil
	case "":
		is := f.is
		is.Cluster = cluster
		if err := f.write(is); err != nil {
			return err
		}
		f.is = is
		return nil
	}
	return fmt.Errorf("data folder %s belongs to cluster %s and cannot be part of cluster %s: use another folder, or join the servers of its own cluster", f.dir, f.is.Cluster, cluster)
}
