package consensus

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"golang.org/x/time/rate"
)

type oneSnapshot struct {
	raft.SnapshotStore
	text string
}

func (s oneSnapshot) Open(string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	return &raft.SnapshotMeta{}, io.NopCloser(strings.NewReader(s.text)), nil
}

func TestSnapshotsThatAreSentAreLimited(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sending := false
	text := strings.Repeat("x", 100)
	s := &limitedSnapshots{
		SnapshotStore: oneSnapshot{text: text}, ctx: ctx,
		limit:   rate.NewLimiter(rate.Limit(1e-9), 40), // 40 bytes, and then nothing for ages
		sending: func() bool { return sending },
	}
	_, r, err := s.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != text {
		t.Fatalf("a snapshot that is restored here: %d bytes, %v", len(b), err)
	}
	sending = true
	_, r, err = s.Open("")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 40)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := r.Read(first); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("beyond the limit: %d bytes, %v; want to wait until the group shuts down", n, err)
	}
	if NewSnapshotLimit(0) != nil || NewSnapshotLimit(4000).Burst() != 1000 {
		t.Error("no rate means no limit, and the burst is a quarter of a second")
	}
}
