package node

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	"github.com/kith-io/kith/similarity"
)

// TestModelsAreReadAlone reads a model that takes its time: another one of the version is read meanwhile, and who asks for the same waits, as it is read once.
func TestModelsAreReadAlone(t *testing.T) {
	files, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"slow", "quick"} {
		if _, err := files.WriteModel(7, name, func(w io.Writer) error { _, err := io.WriteString(w, name); return err }); err != nil {
			t.Fatal(err)
		}
	}
	type named struct {
		train.Model
		name string
	}
	reading, read := make(chan struct{}, 2), make(chan struct{})
	var reads atomic.Int64
	kind := &train.Kind{Name: "kind", Read: func(file []byte) (train.Model, error) {
		if string(file) == "slow" {
			reads.Add(1)
			reading <- struct{}{}
			<-read
		}
		return named{name: string(file)}, nil
	}}
	control := &decisions{}
	control.set(View{Versions: []VersionView{{Version: 7, Models: []ModelView{{"slow", "kind"}, {"quick", "kind"}}}}})
	versions := newVersions(files, control, []*train.Kind{kind}, slog.New(slog.DiscardHandler), newHint())
	defer versions.close()
	m, err := versions.Acquire(7)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	ask := func(name string) {
		if got, err := m.Model(name); err != nil || got.Model != (named{name: name}) {
			t.Errorf("model %s: %v, %v", name, got, err)
		}
	}
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() { ask("slow") })
	}
	<-reading
	quick := make(chan struct{})
	asking.Go(func() { ask("quick"); close(quick) })
	select {
	case <-quick:
	case <-time.After(20 * time.Second):
		t.Error("a model waits for another one to be read")
	}
	close(read)
	asking.Wait()
	if n := reads.Load(); n != 1 {
		t.Errorf("the model was read %d times", n)
	}
}

// TestFilesAreOpenedEarly tells that the first query of a version reads what was opened when it was written, once, and that what nobody will ask for is closed.
func TestFilesAreOpenedEarly(t *testing.T) {
	files, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint64{7, 8, 9} {
		if _, err := files.WriteDictionary(version, []string{"a"}, []uint64{version}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.WriteLists(version, 0, []uint32{0}, &similarity.Lists{Start: []int64{0, 0}}); err != nil {
			t.Fatal(err)
		}
	}
	control := &decisions{}
	control.set(View{Versions: []VersionView{{Version: 7, Partitions: 1}, {Version: 8, Partitions: 1}}})
	versions := newVersions(files, control, nil, slog.New(slog.DiscardHandler), newHint())
	defer versions.close()
	for _, version := range []uint64{7, 9, 7} { // twice, as by a build that begins anew
		versions.openEarly(version, artifact.DictionaryName)
		versions.openEarly(version, artifact.ListsName(0))
		versions.openEarly(version, artifact.RowsName(0))
	}
	for _, version := range []uint64{7, 8} {
		if err := files.Drop(version); err != nil {
			t.Fatal(err)
		}
	}
	m, err := versions.Acquire(7)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	if d, err := m.Dictionary(); err != nil || d.Count(0) != 7 {
		t.Errorf("dictionary of the version whose files were opened: %v", err)
	}
	if _, err := m.Lists(0); err != nil {
		t.Errorf("lists of the version whose files were opened: %v", err)
	}
	late, err := versions.Acquire(8)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Release()
	if _, err := late.Dictionary(); !errors.Is(err, wire.ErrNoReplica) {
		t.Errorf("dictionary of a version without files: %v, want %v", err, wire.ErrNoReplica)
	}
	versions.dropEarly(func(version uint64) bool { return version < 9 })
	if n := len(versions.early); n != 2 {
		t.Errorf("%d files wait to be asked for, want 2", n)
	}
	versions.reopen(9)
	if n := len(versions.early); n != 0 {
		t.Errorf("%d files of a version that is to be opened again are open", n)
	}
}

// TestRowsAreOpenedEarly: rows of a new version are made ready where those of the active one are searched, by the settings of that one; with other settings they are not used. What was
// searched before, and is still there, does not count.
func TestRowsAreOpenedEarly(t *testing.T) {
	files, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	control := &decisions{}
	versions := newVersions(files, control, nil, slog.New(slog.DiscardHandler), newHint())
	defer versions.close()
	cosine, jaccard, tfidf := similarity.Options{Measure: similarity.Cosine, K: 2}, similarity.Options{Measure: similarity.Jaccard, K: 2}, similarity.Options{Measure: similarity.TFIDF, K: 2}
	var view View
	// build writes a version, and tells whether its rows were opened before it is known.
	build := func(number uint64, o similarity.Options) (early bool) {
		t.Helper()
		rows := &similarity.Rows{NumItems: 2, Start: []int64{0, 2}, Item: []uint32{0, 1}, Weight: []float32{1, float32(number)}}
		if _, err := files.WriteDictionary(number, []string{"a", "b"}, []uint64{1, 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.WriteRows(number, 0, 0, []string{"u"}, rows); err != nil {
			t.Fatal(err)
		}
		versions.openEarly(number, artifact.RowsName(0))
		early = len(versions.early) == 1
		view.Versions = append(slices.Clone(view.Versions), VersionView{Version: number, Users: 1, Partitions: 1, Similarity: o})
		view.Active = number
		control.set(view)
		return early
	}
	search := func(number uint64, o similarity.Options) {
		t.Helper()
		m, err := versions.Acquire(number)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Release()
		rows, err := m.rows(0)
		if err != nil {
			t.Fatal(err)
		}
		if rows.by != o || rows.Matrix().Weight[1] != float32(number) || len(versions.early) != 0 {
			t.Errorf("version %d is searched by %+v, with weight %v, and %d files wait", number, rows.by, rows.Matrix().Weight[1], len(versions.early))
		}
	}
	steps := []struct {
		number uint64
		o      similarity.Options
		early  bool
	}{{2, cosine, false}, {3, cosine, true}, {4, jaccard, true}, {5, tfidf, true}}
	for _, s := range steps {
		if early := build(s.number, s.o); early != s.early {
			t.Errorf("the rows of version %d are opened early: %t, want %t", s.number, early, s.early)
		}
		search(s.number, s.o)
	}
	if build(6, cosine) {
		t.Error("rows are weighed early by counts of items that are not known")
	}
	if build(7, cosine) {
		t.Error("rows are made ready although nobody has searched the active version")
	}
}
