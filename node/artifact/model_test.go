package artifact_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kith-io/kith/node/artifact"
)

// TestModelContent: what is written is read, whatever its length and in whatever pieces it was written.
func TestModelContent(t *testing.T) {
	s := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 5).Draw(t, "pieces")
		var want []byte
		info, err := s.WriteModel(version, "m", func(w io.Writer) error {
			for _, p := range pieces {
				want = append(want, p...)
				if _, err := w.Write(p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		m, err := artifact.OpenModel(s.Path(version, info.Name))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Content()) != string(want) {
			t.Fatalf("content is %q, want %q", m.Content(), want)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestModelThatCannotBeWritten: an error of who writes leaves no file, and none that was there is changed.
func TestModelThatCannotBeWritten(t *testing.T) {
	s := openStore(t)
	wrong := errors.New("wrong")
	_, err := s.WriteModel(version, "m", func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, wrong)
	})
	if !errors.Is(err, wrong) {
		t.Errorf("error is %v, want that of the writer", err)
	}
	if _, err := os.Stat(s.Path(version, artifact.ModelName("m"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
}

// TestItems: keys behind a model come back with it, and no damage to their end goes unseen or panics.
func TestItems(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOf(rapid.Byte()).Draw(t, "content")
		keys := rapid.SliceOf(rapid.String()).Draw(t, "keys")
		b := artifact.AppendItems(slices.Clone(content), keys)
		rest, got, err := artifact.CutItems(b)
		if err != nil || !bytes.Equal(rest, content) || !slices.Equal(got, keys) {
			t.Fatalf("%d bytes and %q, %v; want %d and %q", len(rest), got, err, len(content), keys)
		}
		binary.LittleEndian.PutUint64(b[len(b)-8:], uint64(len(keys))+1+uint64(rapid.IntRange(0, 1000).Draw(t, "more")))
		if _, _, err := artifact.CutItems(b); !errors.Is(err, artifact.ErrCorrupt) {
			t.Fatalf("too many keys: %v, want ErrCorrupt", err)
		}
		if _, _, err := artifact.CutItems(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")); err != nil && !errors.Is(err, artifact.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
