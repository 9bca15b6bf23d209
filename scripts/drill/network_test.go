//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// echo answers on a host until the test ends, and returns its address.
func echo(t *testing.T, h *host) string {
	t.Helper()
	var ln net.Listener
	if err := h.do(func() (err error) { ln, err = net.Listen("tcp", h.at("7")); return err }); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // closed
			}
			serving.Go(func() {
				_, _ = io.Copy(conn, conn) // ends when the test closes its side
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); serving.Wait() })
	return ln.Addr().String()
}

// ask sends a byte over a connection and waits for it to come back.
func ask(conn net.Conn, patience time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

func TestNetwork(t *testing.T) {
	if !canIsolate() {
		t.Skip("needs root and /dev/net/tun")
	}
	w, err := newNetwork(true, false, 3, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	a, b, clients := w.hosts[0], w.hosts[1], w.hosts[3]
	addr := echo(t, b)
	dial := func(from *host) net.Conn {
		t.Helper()
		conn, err := from.dial(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	fromA, fromClients := dial(a), dial(clients)
	works := func(what string, conn net.Conn) time.Duration {
		t.Helper()
		began := time.Now()
		if err := ask(conn, 10*time.Second); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return time.Since(began)
	}
	works("at first", fromA)
	works("at first, from the clients", fromClients)
	var timeout net.Error
	for _, link := range []pair{{a, b}, {b, a}} {
		w.cut([]pair{link})
		if err := ask(fromA, 300*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s cut from %s: %v, want a time-out", link.from.name, link.to.name, err)
		}
		works("from the clients, while others are cut", fromClients)
		w.mend([]pair{link})
		// What was lost comes late, so there may be an answer more; a new connection starts clean.
		fromA = dial(a)
		works("mended", fromA)
	}
	const delay = 50 * time.Millisecond
	w.spoil(delay, 0)
	if took := works("slow", fromA); took < 2*delay {
		t.Errorf("an answer took %v with packets %v late", took, delay)
	}
	w.spoil(0, 0)
	w.lag(b, delay)
	for name, conn := range map[string]net.Conn{"a server": fromA, "the clients": fromClients} {
		if took := works("to a host that lags, from "+name, conn); took < 2*delay {
			t.Errorf("an answer from a host that lags by %v took %v to %s", delay, took, name)
		}
	}
	w.lag(b, 0)
	w.spoil(0, 0.3)
	for range 5 {
		works("lossy", fromA) // repeated by TCP
	}
	w.spoil(0, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if conn, err := a.dial(ctx, addr); err == nil {
		_ = conn.Close() // it should not be there
		t.Error("connected over a link that loses everything")
	}
	works("from the clients, whose links are never lossy", fromClients)
	w.spoil(0, 0) // so that the other side hears of the end
}
