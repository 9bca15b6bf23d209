package consensus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// runMux runs a Mux on loopback until the test ends.
func runMux(t *testing.T) *Mux {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := NewMux(ln, "", nil)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // until the groups of the test have stopped
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m
}

// echo serves one connection of a layer.
func echo(l raft.StreamLayer) <-chan error {
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, c)
			_ = c.Close()
		}
		done <- err
	}()
	return done
}

// TestMuxHostile holds connections that name nothing, half a group, or an unknown one, while
// a good one works; and Run ends with all of them open.
func TestMuxHostile(t *testing.T) {
	m := runMux(t)
	m.SetCluster("ours")
	l, err := m.layer("good", "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range [][]byte{
		nil,
		[]byte("ki"),
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		header{"good", "", "a"}.bytes()[:7],
		header{"unknown", "", "a"}.bytes(),
		{'k', 'i', 't', 'h', 99, 4, 'g', 'o', 'o', 'd'},
		{'k', 'i', 't', 'h', muxVersion, 0, 0},
		header{"good", "another", "a"}.bytes(),
		header{"good", "ours", "b"}.bytes(),
		bytes.Repeat([]byte{0xff}, 1<<16),
	} {
		c, err := net.Dial("tcp", m.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = c.Write(header) // the mux may have closed it already
	}
	for range maxHandshakes / 2 {
		c, err := net.Dial("tcp", m.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	served := echo(l)
	c, err := l.Dial(raft.ServerAddress(m.Addr().String()), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("ping")
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("echo: %q, %v", got, err)
	}
	_ = c.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestMuxClusters checks that a connection reaches a group only within its cluster, or where one side is in none yet.
func TestMuxClusters(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		want     bool
	}{{"a", "a", true}, {"", "a", true}, {"a", "", true}, {"", "", true}, {"a", "b", false}} {
		from, to := runMux(t), runMux(t)
		from.SetCluster(tt.from)
		to.SetCluster(tt.to)
		dialer, err := from.layer("g", "a")
		if err != nil {
			t.Fatal(err)
		}
		l, err := to.layer("g", "a")
		if err != nil {
			t.Fatal(err)
		}
		served := echo(l)
		c, err := dialer.Dial(raft.ServerAddress(to.Addr().String()), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x")) // the other side may have closed it
		var b [1]byte
		if _, err := io.ReadFull(c, b[:]); (err == nil) != tt.want {
			t.Errorf("cluster %q calls %q: %v, want an answer: %v", tt.from, tt.to, err, tt.want)
		}
		_ = c.Close()
		if !tt.want {
			_ = l.Close() // nobody comes
		}
		if err := <-served; (err == nil) != tt.want {
			t.Errorf("cluster %q calls %q: served: %v", tt.from, tt.to, err)
		}
		_ = l.Close()
	}
}

// TestMuxMembers has one member called, and another at its address.
func TestMuxMembers(t *testing.T) {
	from, to := runMux(t), runMux(t)
	dialer, err := from.layer("g", "a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := to.layer("g", "b")
	if err != nil {
		t.Fatal(err)
	}
	call := func(member raft.ServerID) error {
		c, err := dialer.Dial(transport{}.target(member, raft.ServerAddress(to.Addr().String())), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = c.Write([]byte("x")) // the other side may have closed it
		_, err = io.ReadFull(c, make([]byte, 1))
		return err
	}
	served := echo(l)
	if err := call("c"); err == nil {
		t.Error("b answers for c")
	}
	if err := call("b"); err != nil {
		t.Errorf("b does not answer: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestLayerClose ends accepting, dialing and open connections.
func TestLayerClose(t *testing.T) {
	m := runMux(t)
	l, err := m.layer("g", "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.layer("g", "a"); err == nil {
		t.Error("two layers of one group")
	}
	served := echo(l)
	c, err := l.Dial(raft.ServerAddress(m.Addr().String()), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // now it is accepted
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-served //nolint:errcheck // ends by an error, or with the stream if the dialed side was closed first
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a dialed connection outlives its layer")
	}
	_ = c.Close()
	l.wait()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := l.Dial(raft.ServerAddress(m.Addr().String()), time.Second); err == nil {
		t.Error("Dial after Close")
	}
	if _, err := m.layer("g", "a"); err != nil {
		t.Errorf("the name of a closed layer is not free: %v", err)
	}
}

func TestAdvertise(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := NewMux(ln, "node-1.example:7000", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := m.Addr().String(); got != "node-1.example:7000" {
		t.Errorf("Addr %s", got)
	}
	if _, err := m.layer("g", "a"); !errors.Is(err, ErrClosed) {
		t.Errorf("Layer after Run: %v, want ErrClosed", err)
	}
}

func frames(t testing.TB, data []byte, applied uint64, pieces ...int) []byte {
	var b bytes.Buffer
	w, err := newFrameWriter(&b, applied)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range pieces {
		n = min(n, len(data))
		if k, err := w.Write(data[:n]); err != nil || k != n {
			t.Fatal(k, err)
		}
		data = data[n:]
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFrames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		data := bytes.Repeat([]byte("0123456789abcdef!"), rapid.IntRange(0, 3*frameSize/17+10).Draw(rt, "repeats"))
		applied := rapid.Uint64().Draw(rt, "applied")
		stream := frames(t, data, applied, rapid.SliceOf(rapid.IntRange(0, 2*frameSize)).Draw(rt, "pieces")...)
		r, got, err := newFrameReader(bytes.NewReader(stream))
		if err != nil || got != applied {
			rt.Fatalf("applied %d, want %d, %v", got, applied, err)
		}
		if back, err := io.ReadAll(r); err != nil || !bytes.Equal(back, data) {
			rt.Fatalf("read %d bytes of %d, %v", len(back), len(data), err)
		}
		// Cut or change it anywhere.
		at := rapid.IntRange(0, len(stream)-1).Draw(rt, "at")
		bad := slices.Clone(stream[:at])
		if rapid.Bool().Draw(rt, "changed") {
			bad = slices.Clone(stream)
			bad[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		}
		r, _, err = newFrameReader(bytes.NewReader(bad))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, ErrCorrupt) {
			rt.Fatalf("damage at %d of %d: got %v, want ErrCorrupt", at, len(stream), err)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(frames(f, []byte("data"), 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _, err := newFrameReader(bytes.NewReader(b))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && b[len(snapshotMagic)] == snapshotVersion {
			t.Fatalf("error %v does not match ErrCorrupt", err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(header{"partition/3", "c1", "n-1"}.bytes())
	f.Add(header{"partition/3", "", ""}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := readHeader(r)
		if err != nil {
			return
		}
		if used := len(b) - r.Len(); !bytes.Equal(h.bytes(), b[:used]) {
			t.Fatalf("header %v took %d bytes of %x", h, used, b)
		}
	})
}

// TestTarget takes apart what transports dial.
func TestTarget(t *testing.T) {
	known := transport{resolve: func(id string) (string, bool) { return "[::1]:7", id == "a.b-c" }}
	for _, tt := range []struct{ id, added, addr string }{{"a.b-c", "host:1", "[::1]:7"}, {"x@y", "host:1", "host:1"}, {"a", "a", "a"}} {
		member, addr := splitTarget(known.target(raft.ServerID(tt.id), raft.ServerAddress(tt.added)))
		if member != tt.id || addr != tt.addr {
			t.Errorf("%s, added at %s: calls %q at %q, want %s", tt.id, tt.added, member, addr, tt.addr)
		}
	}
	if member, addr := splitTarget("host:1"); member != "" || addr != "host:1" {
		t.Errorf("an address alone: %q at %q", member, addr)
	}
}
