package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/kith-io/kith/fusion"
)

// Errors of a Store, to be tested with errors.Is.
var (
	// ErrCorrupt is matched by errors about damaged files, streams and commands.
	ErrCorrupt = errors.New("event store: data is corrupt")
	// ErrClosed means that the Store was closed.
	ErrClosed = errors.New("event store is closed")
	// ErrFailed means that the store has failed to write, so that its state is unknown until it is opened again.
	ErrFailed = errors.New("event store has failed to write")
	// ErrBehind means that the store has not come to the index that was asked for.
	ErrBehind = errors.New("event store is behind")
	// ErrErased means that a user was erased after the index that was asked for, or events were swept that a join had moved after it: what there was up to it is gone.
	ErrErased = errors.New("a user was erased, or joined to another, since")
)

const (
	currentFile = "CURRENT"
	// changedFile is of those that an earlier program deletes when it opens the store: keys of users that it erases must not stay there.
	changedFile = scratchPrefix + "changed"
	dataPrefix  = "data-"
	checkPrefix = "checkpoint-"

	// pebbleFormat is pinned: a newer library must not change files behind our back.
	pebbleFormat = pebble.FormatTableFormatV6

	// memTableBytes is what a crash makes raft apply again, and what a
	// snapshot has to flush. A node has a store for each of its partitions.
	memTableBytes = 8 << 20
	bloomBits     = 10 // one in a hundred lookups of a new event reads a block in vain
)

// Options sets up a Store.
type Options struct {
	// Dir holds all files of the store; it is created if missing.
	Dir string
	// Cache holds blocks of all stores of a process. If it is nil the store has a
	// cache of its own of 8 MiB.
	Cache *pebble.Cache
	// Histories keeps histories of users of all stores of a process in memory. If it is nil the store has some of its own of 4 MiB.
	Histories *Histories
	// Items numbers the items of all stores of a process. If it is nil the store has some of its own.
	Items *Items
	// Room returns an error while the disk is so full that nothing should be written. What must be written all the same, as memory
	// runs out, waits for room when the disk refuses it, and so does Apply then. It must not block. Nil means that there is room.
	Room func() error
	// Failed is called when Trouble has begun to return an error. It must not block. It may be nil.
	Failed func()
	// Log may be nil.
	Log *slog.Logger

	// fs is replaced by tests; nil means the file system.
	fs vfs.FS
	// recent, purchases, touched and added are set by tests; 0 means keptRecent, keptPurchases, keptTouched and keptAdded.
	recent, purchases, touched, added int
	// scratch is the directory of files without a name; "" means Dir.
	scratch string
}

// Store is the event store of one partition. Apply and Restore are called by
// one goroutine; everything else is safe for concurrent use with them.
type Store struct {
	dir    string
	cache  *pebble.Cache
	log    *slog.Logger
	fs     vfs.FS
	wait   *roomWait
	failed func()
	// recent, purchases, touched and added are how many of the events, of the items of baskets, of the users that have changed, and of what came of these are kept in memory.
	recent, purchases, touched, added int
	scratch                           string // directory of files without a name
	histories                         *Histories
	items                             *Items

	checkpoints atomic.Uint64 // numbers the directories of snapshots
	products    wakers        // of those who follow the products

	mu     sync.Mutex // guards cur and closed; held only to take or replace them
	cur    *database
	closed bool
}

// database is one Pebble store and what is kept in memory of it. Restore
// replaces it as a whole; it closes when its last user lets go.
type database struct {
	db   *pebble.DB
	dir  string // its directory
	refs atomic.Int64
	gone chan struct{} // closed when the Pebble store is
	// life ends with the use of the database by its store: what goes on in the background, and has references, must end.
	life context.Context
	end  context.CancelFunc
	err  error // of closing; read after gone
	drop bool  // delete the files after closing: set before the last release

	mu   sync.Mutex // guards what follows; no I/O under it
	meta meta
	top  *top
	// deep is a longer top, nil until it is asked for, and counted are the counts that are set while it is made.
	deep    *top
	counted map[string]uint64
	graves  graves
	// changes of products since the database was opened.
	changes changes
	// windows are the times of events, and baskets what was bought together.
	windows live[*windows]
	baskets live[*baskets]
	failed  error // set for good when a write failed: the state is then unknown
	damage  error // set for good when a file was found to be damaged

	deepening chan struct{} // has a value while somebody makes deep, or sorts it

	histories histories
	touched   touched // since the database was opened, or an earlier time

	trouble  func() // is told when failed or damage are set
	breaking sync.Once
	broken   chan struct{} // closed when Pebble has failed to write a file: it would try again at once and for ever

	tables sstable.ReaderOptions // to read a table by itself
}

// Open opens the store in o.Dir, or makes an empty one. The caller must Close
// it. Cost: a pass over the counts of all items.
func Open(o Options) (*Store, error) {
	s := &Store{
		dir: o.Dir, cache: o.Cache, log: o.Log, fs: o.fs, wait: newRoomWait(o.Room), failed: o.Failed,
		recent: cmp.Or(o.recent, keptRecent), purchases: cmp.Or(o.purchases, keptPurchases), touched: cmp.Or(o.touched, keptTouched), added: cmp.Or(o.added, keptAdded),
		histories: o.Histories, items: o.Items, scratch: cmp.Or(o.scratch, o.Dir),
	}
	if s.items == nil {
		s.items = NewItems()
	}
	if s.histories == nil {
		s.histories = NewHistories(4 << 20)
	}
	if s.failed == nil {
		s.failed = func() {}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open event store %s: %w", s.dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	if err := makeDir(s.fs, s.dir); err != nil {
		return err
	}
	name, err := s.readCurrent()
	if errors.Is(err, fs.ErrNotExist) {
		// Either new, or it never got as far as CURRENT.
		name = dataPrefix + "000001"
		if err := s.fs.RemoveAll(s.path(name)); err != nil {
			return err
		}
		if s.cur, err = s.openDatabase(name); err != nil {
			return err
		}
		if err := s.writeCurrent(name); err != nil {
			return errors.Join(err, s.Close())
		}
	} else if err != nil {
		return err
	} else if err := s.writeCurrent(name); err != nil {
		return fmt.Errorf("try the disk: %w", err) // to Pebble an error now could be the end of the process
	} else if s.cur, err = s.openDatabase(name); err != nil {
		return err
	}
	if err = s.recallTouched(s.cur); err != nil {
		return errors.Join(err, s.Close())
	}
	s.sweep(name)
	s.wait.opened.Store(true)
	return nil
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// readCurrent returns the name of the data directory in use.
func (s *Store) readCurrent() (string, error) {
	b, err := readFile(s.fs, s.path(currentFile))
	if err != nil {
		return "", err
	}
	name := strings.TrimSuffix(string(b), "\n")
	if _, err := nextDir(name); err != nil || !strings.HasPrefix(name, dataPrefix) {
		return "", fmt.Errorf("%w: %s holds %q", ErrCorrupt, currentFile, b)
	}
	if _, err := s.fs.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) { // Pebble would make it, and sweep delete the right one
		return "", fmt.Errorf("%w: %s holds %q, which is not there", ErrCorrupt, currentFile, b)
	}
	return name, nil
}

// writeCurrent makes name the data directory in use, durably and at once.
func (s *Store) writeCurrent(name string) error {
	tmp := s.path(currentFile + ".tmp")
	if err := writeFile(s.fs, tmp, []byte(name+"\n")); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, s.path(currentFile)); err != nil {
		return err
	}
	return syncDir(s.fs, s.dir)
}

// sweep deletes what an earlier process left behind.
func (s *Store) sweep(current string) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		s.log.Warn("list event store", "dir", s.dir, "err", err)
		return
	}
	for _, name := range names {
		if name == current || !strings.HasPrefix(name, dataPrefix) && !strings.HasPrefix(name, checkPrefix) && !strings.HasPrefix(name, scratchPrefix) {
			continue
		}
		if err := s.fs.RemoveAll(s.path(name)); err != nil {
			s.log.Warn("delete leftovers of event store", "dir", s.path(name), "err", err)
		}
	}
}

// NewCache returns a cache of blocks for some number of stores. Pebble takes the tables that it has in memory out of the cache, so there must be room for
// these: without it a cache of 128 MiB for 16 stores holds no block at all, and each look for an event that may be there already reads from the disk. Under
// load a store has two tables, one that is filled and one that is written. Memory: bytes, and 16 MiB for each store.
func NewCache(bytes int64, stores int) *pebble.Cache {
	return pebble.NewCache(bytes + int64(stores)*2*memTableBytes)
}

// openDatabase opens or makes the Pebble store in the directory name, with one reference.
func (s *Store) openDatabase(name string) (_ *database, err error) {
	life, end := context.WithCancel(context.Background())
	d := &database{life: life, end: end, dir: s.path(name), gone: make(chan struct{}), top: newTop(topSize), deepening: make(chan struct{}, 1), trouble: s.failed, broken: make(chan struct{}), histories: s.histories.of(), touched: touched{most: s.touched, mostAdded: s.added}}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatalError: // nothing is open that could be in an unknown state
			err = r
		default:
			panic(r)
		}
	}()
	opts := &pebble.Options{
		FS:                          vfs.OnDiskFull(s.fs, s.waitForRoom),
		Cache:                       s.cache,
		DisableWAL:                  true, // the raft log is ours: see doc.go
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4, // applying waits for the disk only after three flushes are behind
		Logger:                      pebbleLogger{s.log, d.dir},
		EventListener: &pebble.EventListener{
			// By default Pebble ends the process. Reads return the error, too.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				s.log.Error("event store is damaged", "dir", s.dir, "err", i.Details)
				_ = d.corrupt(fmt.Errorf("%w: %s: %w", ErrCorrupt, i.Path, i.Details))
			},
			BackgroundError: func(err error) { d.stuck(s.log, err) },
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	opts.EnsureDefaults()
	d.tables = opts.MakeReaderOptions()
	d.refs.Store(1)
	if d.db, err = pebble.Open(d.dir, opts); err != nil {
		return nil, translate(err)
	}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	return d, nil
}

// load reads what is kept in memory.
func (d *database) load() error {
	b, err := d.get(metaKey)
	if err != nil {
		return err
	}
	if b != nil {
		if d.meta, err = decodeMeta(b); err != nil {
			return err
		}
	}
	d.changes.begin, d.touched.floor, d.touched.opened = LastOf(d.meta.applied), d.meta.applied, d.meta.applied
	if err := d.loadGraves(); err != nil {
		return err
	}
	return d.fill(d.top)
}

// eachCount calls fn for each item, in order of keys, until it returns an error.
func (d *database) eachCount(fn func(ItemCount) error) (err error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: []byte{'c'}, UpperBound: []byte{'c' + 1}})
	if err != nil {
		return translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		n, err := decodeCount(it.Value())
		if err != nil {
			return err
		}
		if err := fn(ItemCount{string(it.Key()[1:]), n}); err != nil {
			return err
		}
	}
	return translate(it.Error())
}

// get returns a copy of the value of key, or nil.
func (d *database) get(key []byte) ([]byte, error) { return read(d.db, key) }

func read(from pebble.Reader, key []byte) ([]byte, error) {
	v, c, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, translate(err)
	}
	out := slices.Clone(v)
	return out, c.Close()
}

// has reports whether key is there.
func (d *database) has(key []byte) (bool, error) {
	_, c, err := d.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, translate(err)
	}
	return true, c.Close()
}

// count returns the count at key, or zero.
func (d *database) count(key []byte) (uint64, error) {
	v, c, err := d.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, translate(err)
	}
	n, err := decodeCount(v)
	return n, cmp.Or(err, c.Close())
}

func decodeCount(v []byte) (uint64, error) {
	n, size := binary.Uvarint(v)
	if size != len(v) || size <= 0 {
		return 0, fmt.Errorf("%w: count %x", ErrCorrupt, v)
	}
	return n, nil
}

// acquire returns the current database, which the caller must release.
func (s *Store) acquire() (*database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.cur.refs.Add(1)
	return s.cur, nil
}

// release lets go of d; the last to do so closes it.
func (s *Store) release(d *database) {
	if d.refs.Add(-1) > 0 {
		return
	}
	d.end() // it may never have been that of the store
	d.mu.Lock()
	d.windows.drop()
	d.baskets.drop()
	d.mu.Unlock()
	if !d.drop {
		// There is no log to find it in. Where it cannot be written raft has it.
		if err := d.flush(s.wait); !errors.Is(err, errNoRoom) && !errors.Is(err, errStuck) {
			d.err = err
		}
	}
	if err := d.db.Close(); err != nil {
		d.err = errors.Join(d.err, err)
	}
	if d.drop {
		if err := s.fs.RemoveAll(d.dir); err != nil {
			s.log.Warn("delete replaced event store", "dir", d.dir, "err", err)
		}
	}
	close(d.gone)
}

// Close waits for calls and snapshots in flight, writes out what is in memory, and closes the
// store. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed || s.cur == nil {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.Interrupt()
	s.products.wake()
	d := s.cur
	s.mu.Unlock()
	d.end()
	s.release(d)
	<-d.gone
	if d.err != nil {
		return fmt.Errorf("close event store %s: %w", s.dir, d.err)
	}
	if err := s.saveTouched(d); err != nil {
		s.log.Info("what has changed is not kept: the next build reads all events", "dir", s.dir, "why", err)
	}
	return nil
}

// state returns a copy of what is kept in memory, and the failure if there was one.
func (d *database) state() (meta, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta, d.failed
}

// Applied returns the raft index up to which commands are applied; 0 after Close.
func (s *Store) Applied() uint64 {
	d, err := s.acquire()
	if err != nil {
		return 0
	}
	defer s.release(d)
	m, _ := d.state()
	return m.applied
}

// Stats returns the numbers of events and of users that have any; 0 after Close.
func (s *Store) Stats() (events, users uint64) {
	c := s.Counts()
	return c.Events, c.Users
}

// userPrefix returns 'e' user 0x00, the common start of the keys of a user's events.
func userPrefix(dst []byte, user string) []byte {
	dst = append(append(dst, 'e'), user...)
	return append(dst, 0)
}

// splitEventKey returns the user and the id of an event's key, as parts of it.
func splitEventKey(key []byte) (user, id []byte, err error) {
	for i, c := range key {
		if c == 0 {
			return key[1:i], key[i+1:], nil
		}
	}
	return nil, nil, fmt.Errorf("%w: an event key of %d bytes has no end of the user", ErrCorrupt, len(key)) // without the user, as it goes to the log
}

// translate makes Pebble's errors about damaged files match ErrCorrupt.
func translate(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// History returns the events of a user by time, then id; none if the user is unknown. Cost: one seek and the user's events, or, for users that are asked for often, a copy
// of what is in memory.
func (s *Store) History(ctx context.Context, user string) (events []fusion.Event, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release(d)
	if _, err := d.state(); err != nil {
		return nil, err
	}
	known, ok, before := d.histories.get(user)
	if ok {
		return known, nil
	}
	lower, upper := userRange(user)
	it, err := d.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	// All ids and items become one string: its parts take no memory of their own.
	texts, lengths := make([]byte, 0, 512), make([][2]int, 0, 32)
	for ok := it.First(); ok; ok = it.Next() {
		e := fusion.Event{User: user}
		_, item, err := decodeAllButItem(it.Value(), &e)
		if err != nil {
			return nil, err
		}
		id := it.Key()[len(lower):]
		texts, lengths = append(append(texts, id...), item...), append(lengths, [2]int{len(id), len(item)})
		events = append(events, e)
	}
	if err := it.Error(); err != nil {
		return nil, translate(err)
	}
	rest := string(texts)
	for i, n := range lengths {
		events[i].ID, events[i].Item, rest = rest[:n[0]], rest[n[0]:n[0]+n[1]], rest[n[0]+n[1]:]
	}
	slices.SortFunc(events, compareEvents)
	d.histories.put(user, events, before)
	return events, nil
}

// KnownHistory returns what History would, if that is in memory. It waits for nothing. The stamp stands for these events: as long as KnownStamp returns it, the user
// has no others. It is never 0.
func (s *Store) KnownHistory(user string) (events []fusion.Event, stamp uint64, ok bool) {
	d, err := s.acquire()
	if err != nil {
		return nil, 0, false
	}
	defer s.release(d)
	if _, err := d.state(); err != nil {
		return nil, 0, false
	}
	events, stamp, ok, _ = d.histories.stamped(user)
	return events, stamp, ok
}

// KnownStamp is KnownHistory without the events.
func (s *Store) KnownStamp(user string) (stamp uint64, ok bool) {
	d, err := s.acquire()
	if err != nil {
		return 0, false
	}
	defer s.release(d)
	if _, err := d.state(); err != nil {
		return 0, false
	}
	ok, _ = d.histories.with(user, func(s uint64, _ []byte) { stamp = s })
	return stamp, ok
}

// compareEvents orders the events of one user by time, then id.
func compareEvents(a, b fusion.Event) int {
	if x := cmp.Compare(a.Time, b.Time); x != 0 {
		return x // most have different times
	}
	return cmp.Compare(a.ID, b.ID)
}

// Scan calls fn for each user behind a key (all, if it is empty) that has events at or below the raft index cut, users ascending by
// key, with those events by time, then id. It sees one moment of the store. fn must not keep the slice, and an error of it ends the
// scan and is returned, but for ErrStop. Scan returns an error that matches ErrBehind if cut is not applied yet, and one that matches
// ErrErased if a user was erased after it. Cost: a pass over what fn takes.
func (s *Store) Scan(ctx context.Context, cut uint64, after string, fn func(user string, events []fusion.Event) error) error {
	d, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(d)
	var kinds *addsOfUsers // where all users are seen who are not known
	if after == "" && !d.touched.knows() {
		kinds = &addsOfUsers{}
	}
	var events []fusion.Event // of one user
	flush := func() error {
		if len(events) == 0 {
			return nil
		}
		if kinds != nil {
			adds := fusion.AddsAll
			for i := range events {
				adds = max(adds, events[i].Adds())
			}
			kinds.note(events[0].User, adds)
		}
		return give(events[0].User, &events, fn)
	}
	position := Position{}
	if after != "" {
		position = Position{User: after, ID: "\xff"} // behind all ids, which are UTF-8
	}
	err = d.dump(ctx, cut, position, func(e fusion.Event) error {
		if len(events) > 0 && events[0].User != e.User {
			if err := flush(); err != nil {
				return err
			}
		}
		events = append(events, e)
		return nil
	})
	if err == nil {
		err = flush()
	}
	if errors.Is(err, ErrStop) {
		return nil
	}
	if err == nil && kinds != nil {
		d.touched.learn(cut, kinds)
	}
	return err
}

// give calls fn with the events of a user in order, and empties them.
func give(user string, events *[]fusion.Event, fn func(user string, events []fusion.Event) error) error {
	slices.SortFunc(*events, compareEvents)
	err := fn(user, *events)
	clear(*events)
	*events = (*events)[:0]
	return err
}

// Users returns the keys of at most n users with events behind a key (of all, if it is empty), ascending. Cost: a seek and n counts.
func (s *Store) Users(ctx context.Context, after string, n int) (users []string, err error) {
	d, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer s.release(d)
	if _, err := d.state(); err != nil {
		return nil, err
	}
	lower := append([]byte{'u'}, after...)
	if after != "" {
		lower = append(lower, 0) // keys have no NUL bytes
	}
	it, err := d.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: []byte{'u' + 1}})
	if err != nil {
		return nil, translate(err)
	}
	defer func() { err = cmp.Or(err, translate(it.Close())) }()
	for ok := it.First(); ok && len(users) < n; ok = it.Next() {
		users = append(users, string(it.Key()[1:]))
	}
	return users, translate(it.Error())
}

// pebbleLogger writes Pebble's messages to slog.
type pebbleLogger struct {
	log *slog.Logger
	dir string
}

// fatalError is what Pebble said before it could not go on.
type fatalError struct{ error }

var _ pebble.Logger = pebbleLogger{}

// Infof implements pebble.Logger. Pebble tells of each flush and compaction.
func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble cannot go on, as when it does not know whether its manifest was written, and a store that
// pretends to would lose data: the process ends, and the next one opens the store from what is on the disk, and the log of raft.
// As a new store is made it is an error of Open.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	panic(fatalError{fmt.Errorf("event store %s cannot go on: %s; what is acknowledged is in the log: look after the disk, and start this server again",
		l.dir, fmt.Sprintf(format, args...))})
}
