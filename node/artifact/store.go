package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/kith-io/kith/durable"
)

// DictionaryName is the name of the dictionary of a version.
const DictionaryName = "dictionary"

// NormsName is the name of the sums of squares of the items of a version.
const NormsName = "norms"

const (
	listsPrefix = "lists-"
	restPrefix  = "rest-"
	rowsPrefix  = "rows-"
	modelPrefix = "model-"
	// tempSuffix ends the name of a file that is being written.
	tempSuffix = ".tmp"
)

// ListsName returns the name of the neighbor lists of a partition, for example lists-00003.
func ListsName(partition uint32) string {
	return fmt.Sprintf("%s%05d", listsPrefix, partition)
}

// IsLists reports whether a file has neighbor lists.
func IsLists(name string) bool { return strings.HasPrefix(name, listsPrefix) }

// RestName returns the name of what comes behind the neighbor lists of a partition, for example rest-00003.
func RestName(partition uint32) string {
	return fmt.Sprintf("%s%05d", restPrefix, partition)
}

// RowsName returns the name of the users' rows of a partition, for example rows-00003.
func RowsName(partition uint32) string {
	return fmt.Sprintf("%s%05d", rowsPrefix, partition)
}

// IsRows reports whether a file has rows of users.
func IsRows(name string) bool { return strings.HasPrefix(name, rowsPrefix) }

// ModelName returns the name of the file of a model, for example model-covisit.
func ModelName(model string) string { return modelPrefix + model }

var modelNames = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// ValidModel tells whether a model may have a name: small letters, digits and -, a letter first, at most 32.
func ValidModel(model string) bool { return modelNames.MatchString(model) }

// ModelOf returns the name of the model that a file is of, and whether it is of one.
func ModelOf(name string) (model string, ok bool) {
	model, ok = strings.CutPrefix(name, modelPrefix)
	return model, ok && ValidModel(model)
}

// ValidName tells whether name is DictionaryName, NormsName, or a result of ListsName, RestName, RowsName or ModelName. Others
// could point out of the store's folder.
func ValidName(name string) bool {
	if name == NormsName || Shared(name) {
		return true
	}
	p, ok := PartitionOf(name)
	return ok && name == RestName(p)
}

// Shared tells whether name is that of a file which nodes copy from each other: of those that are valid all but norms and rests,
// which stay where they were made. Names from the wire must be shared.
func Shared(name string) bool {
	if name == DictionaryName {
		return true
	}
	if _, ok := ModelOf(name); ok {
		return true
	}
	p, ok := PartitionOf(name)
	return ok && (name == ListsName(p) || name == RowsName(p))
}

// PartitionOf returns the number at the end of a name, and whether there is one.
func PartitionOf(name string) (uint32, bool) {
	_, digits, _ := strings.Cut(name, "-")
	p, err := strconv.ParseUint(digits, 10, 32)
	return uint32(p), err == nil
}

// Info identifies a file and its content.
type Info struct {
	Name string
	// SizeBytes is the length of the file, Checksum the xxhash64 of all of it.
	SizeBytes, Checksum uint64
}

// Store is a folder of model versions: <dir>/<version, 20 digits>/<name>. It is safe for concurrent use within one
// process, which must be the only one that writes to the folder.
type Store struct {
	dir string
	// spooled are the bytes of entries that wait in memory for all files of lists that are being written.
	spooled atomic.Int64
	checked checked
}

// Open returns the store in dir. It makes dir and the folders above it, durably, if they are not there, and removes the
// temporary files that a crash left behind.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("open artifact store: %w", err)
	}
	if err := s.removeTemps(); err != nil {
		return nil, fmt.Errorf("open artifact store: %w", err)
	}
	return s, nil
}

func (s *Store) removeTemps() error {
	versions, err := s.Versions()
	if err != nil {
		return err
	}
	for _, v := range versions {
		entries, err := os.ReadDir(s.versionDir(v))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), tempSuffix) {
				continue
			}
			if err := os.Remove(filepath.Join(s.versionDir(v), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func versionName(version uint64) string { return fmt.Sprintf("%020d", version) }

func (s *Store) versionDir(version uint64) string {
	return filepath.Join(s.dir, versionName(version))
}

// Path returns where a file is, or will be. For a name that is not valid it returns "", which cannot be opened: the error
// matches fs.ErrNotExist.
func (s *Store) Path(version uint64, name string) string {
	if !ValidName(name) {
		return ""
	}
	return filepath.Join(s.versionDir(version), name)
}

// Has tells whether a file of that name and size is there. It does not read it: the content was compared when the file was
// committed, and is checked again when it is opened.
func (s *Store) Has(version uint64, want Info) bool {
	stat, err := os.Stat(s.Path(version, want.Name))
	return err == nil && stat.Mode().IsRegular() && uint64(stat.Size()) == want.SizeBytes
}

// Info reads a file and returns its identity. It says nothing about what is in the file. The error for a file that is
// not there matches fs.ErrNotExist. Cost: O(size).
func (s *Store) Info(version uint64, name string) (Info, error) {
	f, err := os.Open(s.Path(version, name))
	if err != nil {
		return Info{}, fmt.Errorf("artifact %q of version %d: %w", name, version, err)
	}
	defer func() { _ = f.Close() }() // only read
	sum := xxhash.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return Info{}, fmt.Errorf("artifact %q of version %d: %w", name, version, err)
	}
	return Info{Name: name, SizeBytes: uint64(size), Checksum: sum.Sum64()}, nil
}

// Versions returns the versions that have a folder, ascending, whether or not their files are complete. Whatever else is
// in the store's folder is ignored.
func (s *Store) Versions() ([]uint64, error) {
	entries, err := os.ReadDir(s.dir) // in order of name, which is that of number
	if err != nil {
		return nil, fmt.Errorf("list model versions: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		v, err := strconv.ParseUint(e.Name(), 10, 64)
		if err == nil && e.IsDir() && e.Name() == versionName(v) {
			out = append(out, v)
		}
	}
	return out, nil
}

// Drop removes a version with all its files; one that is absent is no error. Open readers go on. After a crash the version
// may be there still, in whole or in part.
func (s *Store) Drop(version uint64) error {
	s.checked.drop(version)
	if err := os.RemoveAll(s.versionDir(version)); err != nil {
		return fmt.Errorf("drop model version %d: %w", version, err)
	}
	return nil
}

// SetAside renames a file that was found to be damaged to NAME.damaged, so that it can be fetched again and looked at.
// Open readers go on.
func (s *Store) SetAside(version uint64, name string) error {
	path := s.Path(version, name)
	if err := os.Rename(path, path+".damaged"); err != nil {
		return fmt.Errorf("set aside %s of model version %d: %w", name, version, err)
	}
	return nil
}

// makeDir makes a folder and those above it, durably.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(parent)
}
