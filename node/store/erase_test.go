package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/fusion"
)

// Commands of a test: records, Erase, and events as []fusion.Event.
type records struct {
	kind    catalog.Kind
	records []catalog.Record
}

// execute applies a command, or nothing if raft has its own at the index.
func execute(t testing.TB, s *Store, index uint64, command any) Result {
	t.Helper()
	var b []byte
	switch c := command.(type) {
	case []fusion.Event:
		b = EncodeBatch(nil, c)
	case records:
		b = EncodeRecords(nil, c.kind, c.records)
	case Erase:
		b = EncodeErase(nil, c)
	case Join:
		b = EncodeJoin(nil, c)
	case erasedChild:
		b = EncodeErased(nil, c.From, c.To, c.ID, c.keys)
	case copies:
		b = EncodeCopies(nil, c.From, c.To, c.ID, c.events)
	default:
		b = EncodeBatch(nil, nil)
	}
	r, err := s.Apply(index, b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	testSecret = [32]byte{1, 2, 3}
	testUsers  = []string{"a", "ab", "b", "ü", "z\x01", "\x7f"}
)

var genRecord = rapid.Custom(func(t *rapid.T) catalog.Record {
	r := catalog.Record{
		Key:     rapid.SampledFrom(testUsers).Draw(t, "key"),
		Version: rapid.Int64Range(0, 3).Draw(t, "version"), Deleted: rapid.IntRange(0, 3).Draw(t, "deleted") == 0,
	}
	if !r.Deleted {
		r.Attributes = []catalog.Attribute{{Name: "n", Value: catalog.Value{Type: catalog.Number, Number: float64(rapid.IntRange(0, 2).Draw(t, "number"))}}}
	}
	return r
})

var genErase = rapid.Custom(func(t *rapid.T) Erase {
	return Erase{
		User: rapid.SampledFrom(testUsers).Draw(t, "user"), Secret: testSecret, Time: rapid.Int64Range(0, 3).Draw(t, "time"),
		Request: [16]byte{rapid.Byte().Draw(t, "request") % 8}, Again: rapid.Bool().Draw(t, "again"),
		Account: rapid.SampledFrom(append(testUsers, "", "", "", "", "", "")).Draw(t, "account"),
	}
})

// buried is what the twin keeps of an erased user.
type buried struct {
	until   int64
	again   bool
	request [16]byte
	result  Erasure
}

func (m *model) put(index uint64, c records) (r Result) {
	m.applied = index
	of := m.records[c.kind]
	for _, x := range c.records {
		if b, erased := m.buried[x.Key]; c.kind == catalog.Profile && erased && !b.again {
			r.Erased++
			continue
		}
		if old, ok := of[x.Key]; ok && !catalog.Newer(&x, &old) {
			r.Unchanged++
			continue
		}
		of[x.Key] = x
		r.Changed++
	}
	return r
}

func (m *model) erase(index uint64, e Erase) (r Result) {
	m.applied = index
	old, erased := m.buried[e.User]
	if erased && old.request == e.Request {
		return Result{Erasure: old.result}
	}
	if refused := m.refuses(e); refused.Moved != nil || refused.Joined != nil {
		return refused
	}
	_, joined := m.alias[e.User] // which is forgotten, too
	if m.unjoin(e.User) {
		m.erasedAt = index
	}
	b := buried{until: max(e.Time, old.until), again: e.Again, request: e.Request}
	b.result = Erasure{Index: index, Time: e.Time, Hash: HashUser(testSecret, e.User)}
	for k, x := range m.events {
		if k[0] == e.User {
			delete(m.events, k)
			b.until = max(b.until, x.Time)
			b.result.Events++
			m.erasedAt = index
		}
	}
	if x, ok := m.records[catalog.Profile][e.User]; ok {
		delete(m.records[catalog.Profile], e.User)
		b.result.Profile = !x.Deleted
	}
	if erased && b.result.Events == 0 && !b.result.Profile && !joined {
		b.result.Index = old.result.Index
	}
	b.result.Joined = m.bury(e.User)
	m.buried[e.User] = b
	return Result{Erasure: b.result}
}

// showRecords adds to a dump what is not of events.
func (m *model) showRecords(d *dump) {
	d.Records, d.Erased = map[catalog.Kind][]catalog.Record{}, map[string]bool{}
	for kind, of := range m.records {
		for _, r := range of {
			d.Records[kind] = append(d.Records[kind], r)
			if !r.Deleted {
				*map[catalog.Kind]*uint64{catalog.Product: &d.Counts.Products, catalog.Profile: &d.Counts.Profiles}[kind]++
			}
		}
		slices.SortFunc(d.Records[kind], func(a, b catalog.Record) int { return cmp.Compare(a.Key, b.Key) })
	}
	for user := range m.buried {
		d.Erased[user] = true
	}
	d.Counts.Erased = uint64(len(m.buried))
}

// recordsOf returns all records of a store, and checks that each is found by its key.
func recordsOf(t testing.TB, s *Store) map[catalog.Kind][]catalog.Record {
	t.Helper()
	out := map[catalog.Kind][]catalog.Record{}
	for _, kind := range catalog.Kinds {
		err := s.Records(t.Context(), kind, "", func(r catalog.Record) error {
			out[kind] = append(out[kind], r)
			got, ok, err := s.Record(kind, r.Key)
			if diff := gocmp.Diff(r, got); err == nil && (!ok || diff != "") {
				return fmt.Errorf("record %q: found %v, %s", r.Key, ok, diff)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func erasedOf(t testing.TB, s *Store) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, user := range testUsers {
		ok, err := s.Erased(user, 0)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			out[user] = true
		}
	}
	if n, err := s.ErasedSince(0); err != nil || n != len(out) {
		t.Fatalf("%d users erased, error %v, want %d", n, err, len(out))
	}
	return out
}

// TestEraseTop: when the counts of the most popular items fall, those outside come in.
func TestEraseTop(t *testing.T) {
	s := openMem(t)
	var events []fusion.Event
	const last = 2*topSize - 1
	for i := range last + 1 {
		events = append(events, event("stays", fmt.Sprint(i), fmt.Sprintf("i%05d", i), 1))
		if i < topSize/4 {
			events = append(events, event("goes", fmt.Sprint(i), fmt.Sprintf("i%05d", last-i), 1))
		}
	}
	apply(t, s, 1, events...)
	execute(t, s, 2, Erase{User: "goes", Request: [16]byte{1}})
	if n := len(s.cur.top.entries); n < topSize {
		t.Errorf("%d items are kept, want at least %d", n, topSize)
	}
	got, err := s.Popular(t.Context(), topSize)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if want := (ItemCount{fmt.Sprintf("i%05d", i), 1}); c != want {
			t.Fatalf("item %d is %v, want %v", i, c, want)
		}
	}
}

// TestPurge: the key is in no table of the store after it. Pebble's manifest may name it as the bound of a table that was.
func TestPurge(t *testing.T) {
	disk := vfs.NewMem()
	s := open(t, disk)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const user, item = "somebody@example.org", "a-secret-item"
	var others []fusion.Event
	for i := range 2000 {
		others = append(others, event(fmt.Sprintf("other%04d", i), "1", "i", 1), event(fmt.Sprintf("z%04d", i), "1", "i", 1))
	}
	apply(t, s, 1, others...)
	apply(t, s, 2, event(user, "1", item, 1))
	profile := catalog.Record{Key: user, Version: 1, Attributes: []catalog.Attribute{{Name: "city", Value: catalog.Value{Type: catalog.Text, Text: item}}}}
	execute(t, s, 3, records{catalog.Profile, []catalog.Record{profile}})
	snapshot(t, s) // flushes
	if len(find(t, disk, "store", user)) == 0 {
		t.Fatal("the test finds no file with the user; it looks in the wrong place")
	}
	execute(t, s, 4, Erase{User: user, Request: [16]byte{1}})
	if err := s.Purge(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // lets go of what is replaced
		t.Fatal(err)
	}
	s = open(t, disk)
	if files := find(t, disk, "store", user); len(files) > 0 {
		t.Errorf("the user is still in %v", files)
	}
}

// find returns the files below a folder that hold a text.
func find(t *testing.T, disk vfs.FS, dir, text string) (files []string) {
	t.Helper()
	names, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := disk.PathJoin(dir, name)
		st, err := disk.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(name, "MANIFEST") {
			continue // Pebble takes out what it has replaced while this looks
		}
		if err != nil {
			t.Fatal(err)
		}
		if st.IsDir() {
			files = append(files, find(t, disk, path, text)...)
			continue
		}
		b, err := readFile(disk, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			files = append(files, path)
		}
	}
	return files
}

// TestPlainFormat: a store with nothing but events is one that earlier programs read.
func TestPlainFormat(t *testing.T) {
	m := meta{applied: 5, events: 3, users: 2}
	if b := m.encode(); len(b) != 1+3*8 || b[0] != 1 {
		t.Errorf("a store of events has meta %x", b)
	}
	m.records, m.erasedAt = true, 4
	joined := m
	joined.joined, joined.joins = true, 7
	for _, b := range [][]byte{m.encode(), joined.encode(), meta{applied: 1, events: 1, users: 1}.encode()} {
		got, err := decodeMeta(b)
		if err != nil || !bytes.Equal(got.encode(), b) {
			t.Errorf("%x decodes to %+v, error %v", b, got, err)
		}
	}
	if _, err := decodeMeta([]byte{4}); err == nil || !strings.Contains(err.Error(), "reads up to 3") {
		t.Errorf("version 4: %v", err)
	}
}

// FuzzCommand: no command makes a store fail, and those that are refused change nothing.
func FuzzCommand(f *testing.F) {
	f.Add(EncodeRecords(nil, catalog.Product, []catalog.Record{{Key: "p", Version: 3}, {Key: "q", Deleted: true}}))
	f.Add(EncodeErase(nil, Erase{User: "u", Time: 5, Request: [16]byte{9}, Again: true}))
	f.Add(EncodeBatch(nil, []fusion.Event{event("u", "1", "i", 5)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		run, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v does not match ErrCorrupt", err)
			}
			return
		}
		if run == nil {
			t.Fatal("nothing to run")
		}
		if len(b) > 0 && b[0] == eraseVersion {
			e, err := decodeErase(b)
			if err != nil || e.User == "" {
				t.Fatalf("%+v: %v", e, err)
			}
		}
	})
}

// TestErasureStamp: the stamp stays while nothing is erased, and grows with each erasure, with a snapshot that is restored, and when the store is opened again.
func TestErasureStamp(t *testing.T) {
	disk, histories := vfs.NewMem(), NewHistories(1<<20)
	opened := func() *Store {
		s, err := Open(Options{Dir: "store", fs: disk, Histories: histories})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := opened()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	last := uint64(0)
	check := func(when string, grows bool) {
		t.Helper()
		stamp, ok := s.ErasureStamp()
		if !ok || (stamp > last) != grows || stamp < last {
			t.Errorf("%s the stamp is %d, %v, after %d; want it to grow: %v", when, stamp, ok, last, grows)
		}
		last = stamp
	}
	check("at first", true)
	apply(t, s, 1, event("a", "1", "i", 1), event("b", "1", "i", 1))
	if _, err := s.History(t.Context(), "a"); err != nil { // which gets a stamp of its own
		t.Fatal(err)
	}
	check("after events", false)
	whole := snapshot(t, s)
	execute(t, s, 2, Erase{User: "a", Request: [16]byte{1}})
	check("after an erasure", true)
	execute(t, s, 3, Erase{User: "a", Request: [16]byte{1}})
	check("after the same request", false)
	execute(t, s, 4, Erase{User: "nobody", Request: [16]byte{2}})
	check("after an erasure of nothing", true)
	if err := s.Restore(bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	check("after what was before", true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if stamp, ok := s.ErasureStamp(); ok {
		t.Errorf("a closed store has the stamp %d", stamp)
	}
	s = opened()
	check("after it was opened again", true)
	s.cur.fail(errors.New("disk"))
	if stamp, ok := s.ErasureStamp(); ok {
		t.Errorf("a store that has failed has the stamp %d", stamp)
	}
}
