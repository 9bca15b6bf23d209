package node

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-io/kith/model/train"
	"github.com/kith-io/kith/node/artifact"
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
