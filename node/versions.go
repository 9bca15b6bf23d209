package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/node/worker"
	"github.com/kith-io/kith/similarity"
)

// Versions opens the files of model versions, each once, when a query first needs them, and closes them when the version
// is dropped and nobody reads it any more. It is safe for concurrent use.
type Versions struct {
	files   *artifact.Store
	control Control
	kinds   []*train.Kind
	log     *slog.Logger

	mu   sync.RWMutex // guards what follows; a query only reads, but for the first of a version
	open map[uint64]*Version
	// early are files that are open and wait to be asked for.
	early map[earlyFile]io.Closer
	// stopped refuses new users.
	stopped bool
	// lost is told of files that must be fetched again.
	lost hint
}

func newVersions(files *artifact.Store, control Control, kinds []*train.Kind, log *slog.Logger, lost hint) *Versions {
	return &Versions{files: files, control: control, kinds: kinds, log: log, lost: lost, open: map[uint64]*Version{}, early: map[earlyFile]io.Closer{}}
}

// Version is a model version in use. Its files stay open until it is released.
type Version struct {
	VersionView
	owner *Versions
	// refs counts the users, and one for owner as long as the version is in its map.
	refs atomic.Int64
	// These are nil until the first who needs them opens them, under mu. Lists and users are by partition.
	dictionary atomic.Pointer[artifact.Dictionary]
	weigher    atomic.Pointer[similarity.Weigher]
	lists      []atomic.Pointer[artifact.Lists]
	users      []atomic.Pointer[userRows]
	mu         sync.Mutex
	// models are in the order of Models.
	models []modelFile
}

// modelFile is the place of a trained model. Reading a large file must not stop those who ask another file of the version.
type modelFile struct {
	opening sync.Mutex                // held by the first who needs it, and who come meanwhile wait
	opened  atomic.Pointer[openModel] // nil until then
}

// openModel is a trained model with its file.
type openModel struct {
	worker.Trained
	file *artifact.Model
	// refused is why the kind did not take the file.
	refused error
}

// userRows are the rows of one partition with what a search needs.
type userRows struct {
	*artifact.Rows
	search *similarity.Searcher
	by     similarity.Options // of search
}

func (v *Versions) openUserRows(version uint64, p uint32, weigher *similarity.Weigher, by similarity.Options, threads int) (*userRows, error) {
	r, err := v.files.OpenRows(version, p)
	if err != nil {
		return nil, err
	}
	o := by
	o.Threads = threads
	return &userRows{r, similarity.NewSearcher(weigher.Rows(r.Matrix()), o), by}, nil
}

// retain closes the versions that are not in keep as soon as nobody reads them.
func (v *Versions) retain(keep map[uint64]bool) {
	v.mu.Lock()
	var gone []*Version
	for number, open := range v.open {
		if !keep[number] {
			delete(v.open, number)
			gone = append(gone, open)
		}
	}
	v.mu.Unlock()
	for _, g := range gone {
		g.Release()
	}
}

// Acquire returns a version that is kept. The caller must Release it. Errors match wire.ErrUnknownVersion.
func (v *Versions) Acquire(number uint64) (*Version, error) {
	views := v.control.View().Versions
	at := -1
	for i := range views { // a view is large
		if views[i].Version == number {
			at = i
		}
	}
	v.mu.RLock()
	open, stopped := v.open[number], v.stopped
	if at >= 0 && !stopped && open != nil {
		open.refs.Add(1) // it was more than 0: the map's is there
	}
	v.mu.RUnlock()
	switch {
	case at < 0 || stopped:
		return nil, fmt.Errorf("%w: %d", wire.ErrUnknownVersion, number)
	case open != nil:
		return open, nil
	}
	return v.acquireClosed(number, views[at])
}

// base is Acquire for a build that follows a version.
func (v *Versions) base(number uint64) (worker.Base, error) {
	m, err := v.Acquire(number)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// acquireClosed is Acquire of a version that nobody has asked for before.
func (v *Versions) acquireClosed(number uint64, view VersionView) (*Version, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stopped {
		return nil, fmt.Errorf("%w: %d", wire.ErrUnknownVersion, number)
	}
	open := v.open[number]
	if open == nil {
		open = &Version{
			VersionView: view, owner: v, models: make([]modelFile, len(view.Models)),
			lists: make([]atomic.Pointer[artifact.Lists], view.Partitions), users: make([]atomic.Pointer[userRows], view.Partitions),
		}
		open.refs.Store(1)
		v.open[number] = open
	}
	open.refs.Add(1)
	return open, nil
}

// reopen makes the next user of a version open its files again.
func (v *Versions) reopen(number uint64) {
	v.dropEarly(func(version uint64) bool { return version == number })
	v.mu.Lock()
	open := v.open[number]
	delete(v.open, number)
	v.mu.Unlock()
	if open != nil {
		open.Release()
	}
}

// Release ends the use of a version.
func (m *Version) Release() {
	if m.refs.Add(-1) == 0 {
		_ = m.close() // mapped files that were only read
	}
}

func (m *Version) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	if d := m.dictionary.Load(); d != nil {
		errs = append(errs, d.Close())
	}
	for i := range m.lists {
		if l := m.lists[i].Load(); l != nil {
			errs = append(errs, l.Close())
		}
	}
	for i := range m.users {
		if r := m.users[i].Load(); r != nil {
			errs = append(errs, r.Close())
		}
	}
	for i := range m.models {
		if x := m.models[i].opened.Load(); x != nil {
			errs = append(errs, x.file.Close())
		}
	}
	return errors.Join(errs...)
}

// unreadable turns the absence or the damage of a file into an error that sends the caller to another replica, until the
// file has been fetched, again if it was damaged.
func (m *Version) unreadable(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("version %d, file %s: %w", m.Version, name, wire.ErrNoReplica)
	case errors.Is(err, artifact.ErrCorrupt):
		m.owner.log.Error("file of a model version is damaged; it is fetched again from another replica", "version", m.Version, "file", name, "err", err)
		if err := m.owner.files.SetAside(m.Version, name); err != nil {
			m.owner.log.Error("damaged file", "err", err)
		}
		m.owner.lost.give()
		return fmt.Errorf("version %d: %w: %w", m.Version, wire.ErrNoReplica, err)
	}
	return fmt.Errorf("version %d: %w", m.Version, err)
}

// Dictionary returns the items of the version. Every node has it.
func (m *Version) Dictionary() (*artifact.Dictionary, error) {
	return open(m, &m.dictionary, artifact.DictionaryName, func() (*artifact.Dictionary, error) { return m.owner.files.OpenDictionary(m.Version) })
}

// Lists returns the neighbor lists of the items of a partition, which must be one.
func (m *Version) Lists(p uint32) (*artifact.Lists, error) {
	if int64(p) >= int64(len(m.lists)) {
		return nil, fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, len(m.lists))
	}
	if lists := m.lists[p].Load(); lists != nil {
		return lists, nil // without making a name
	}
	return open(m, &m.lists[p], artifact.ListsName(p), func() (*artifact.Lists, error) { return m.owner.files.OpenLists(m.Version, p) })
}

// Opened reports whether Lists of a partition, which must be one, would return at once.
func (m *Version) Opened(p uint32) bool { return m.lists[p].Load() != nil }

// open returns a file of a version, which the first who asks opens. Those after take no lock.
func open[T any](m *Version, file *atomic.Pointer[T], name string, from func() (*T, error)) (*T, error) {
	if f := file.Load(); f != nil {
		return f, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := file.Load(); f != nil {
		return f, nil
	}
	f, early := any(m.owner.takeEarly(m.Version, name)).(*T)
	if rows, ok := any(f).(*userRows); early && ok && rows.by != m.Similarity {
		_ = rows.Close() // only read; the settings have been changed
		early = false
	}
	if !early {
		var err error
		if f, err = from(); err != nil {
			return nil, m.unreadable(name, err)
		}
	}
	file.Store(f)
	return f, nil
}

// Model returns a trained model, which answers until the version is released. Every node has the file. Errors match wire.ErrUnknownModel for a name that the
// version does not have.
func (m *Version) Model(name string) (worker.Trained, error) {
	x, err := m.trained(name)
	if err != nil {
		return worker.Trained{}, err
	}
	return x.Trained, nil
}

func (m *Version) trained(name string) (*openModel, error) {
	at := slices.IndexFunc(m.Models, func(v ModelView) bool { return v.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("%w %.80q: model version %d %s", wire.ErrUnknownModel, name, m.Version, m.modelNames())
	}
	place := &m.models[at]
	if x := place.opened.Load(); x != nil {
		return x, x.refused
	}
	place.opening.Lock()
	defer place.opening.Unlock()
	if x := place.opened.Load(); x != nil {
		return x, x.refused
	}
	kind, err := train.Find(m.owner.kinds, m.Models[at].Kind)
	if err != nil {
		return nil, fmt.Errorf("%w: this server is older than the model: %w", wire.ErrNoReplica, err)
	}
	path := artifact.ModelName(name)
	file, err := artifact.OpenModel(m.owner.files.Path(m.Version, path))
	if err != nil {
		return nil, m.unreadable(path, err)
	}
	x, err := worker.ReadModel(kind, file.Content())
	if err != nil {
		// The checksum is right, so reading it again cannot help.
		err = fmt.Errorf("version %d, file %s: %w: kind %s of this server does not take it; is the server older than the model? %w", m.Version, path, wire.ErrNoReplica, kind.Name, err)
		place.opened.Store(&openModel{file: file, refused: err})
		return nil, err
	}
	place.opened.Store(&openModel{Trained: x, file: file})
	return place.opened.Load(), nil
}

// modelNames says which models there are.
func (m *Version) modelNames() string {
	if len(m.Models) == 0 {
		return "was built without models; name some with 'kith build --models'"
	}
	var names []string
	for _, v := range m.Models {
		names = append(names, v.Name)
	}
	return "has " + strings.Join(names, ", ")
}

// userWeigher returns what weighs the rows of users for a search.
func (m *Version) userWeigher() (*similarity.Weigher, error) {
	if w := m.weigher.Load(); w != nil {
		return w, nil
	}
	d, err := m.Dictionary()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.weigher.Load(); w != nil {
		return w, nil
	}
	counts := make([]uint64, d.Len())
	for i := range counts {
		counts[i] = d.Count(uint32(i))
	}
	w := similarity.NewUserWeigher(m.Similarity.Measure, m.Users, counts)
	m.weigher.Store(w)
	return w, nil
}

// rows returns the rows of the users of a partition, which must be one.
func (m *Version) rows(p uint32) (*userRows, error) {
	if int64(p) >= int64(len(m.users)) {
		return nil, fmt.Errorf("%w: partition %d of %d", wire.ErrInvalid, p, len(m.users))
	}
	if rows := m.users[p].Load(); rows != nil {
		return rows, nil // without making a name
	}
	weigher, err := m.userWeigher()
	if err != nil {
		return nil, err
	}
	return open(m, &m.users[p], artifact.RowsName(p), func() (*userRows, error) { return m.owner.openUserRows(m.Version, p, weigher, m.Similarity, 0) })
}

// dropOthers removes the files of the versions that are not in keep. Versions above applied are left alone: they belong
// to builds that this node has not heard of yet.
func (v *Versions) dropOthers(keep map[uint64]bool, applied uint64) error {
	have, err := v.files.Versions()
	if err != nil {
		return err
	}
	var errs []error
	for _, number := range have {
		if !keep[number] && number <= applied {
			errs = append(errs, v.files.Drop(number))
		}
	}
	return errors.Join(errs...)
}

func (v *Versions) close() {
	v.mu.Lock()
	v.stopped = true
	v.mu.Unlock()
	v.retain(nil)
	v.dropEarly(func(uint64) bool { return true })
}
