package consensus

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// freeAddr returns an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String()
}

func TestDialPatiently(t *testing.T) {
	t.Run("one who starts meanwhile", func(t *testing.T) {
		addr := freeAddr(t)
		type result struct {
			conn net.Conn
			err  error
		}
		dialed := make(chan result, 1)
		go func() {
			conn, err := dialPatiently(t.Context(), addr, 5*time.Second)
			dialed <- result{conn, err}
		}()
		select {
		case r := <-dialed:
			t.Fatalf("returned %v before anybody listened", r.err)
		case <-time.After(2 * refusedRetry):
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ln.Close() }() // nothing is under way
		r := <-dialed
		if r.err != nil {
			t.Fatal(r.err)
		}
		if err := r.conn.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		name        string
		timeout     time.Duration
		cancel      bool
		least, most time.Duration
	}{
		{"nobody comes", 30 * time.Second, false, refusedWait, 10 * time.Second},
		{"time is over", 300 * time.Millisecond, false, 300 * time.Millisecond, refusedWait},
		{"group closes", 30 * time.Second, true, 0, refusedWait},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel {
				time.AfterFunc(refusedRetry/2, cancel)
			}
			began := time.Now()
			conn, err := dialPatiently(ctx, freeAddr(t), c.timeout)
			took := time.Since(began)
			if err == nil {
				_ = conn.Close() // it should not be there
			}
			if !errors.Is(err, syscall.ECONNREFUSED) || took < c.least || took > c.most {
				t.Errorf("%v after %v; want to be refused after %v to %v", err, took, c.least, c.most)
			}
		})
	}
}
