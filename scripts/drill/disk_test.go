//go:build linux

package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// TestDisk makes the disk of a host slow, and compares how long a wait for it takes: on the thread of the host, and in a process that
// is started there.
func TestDisk(t *testing.T) {
	if err := canSlowDisks(); err != nil {
		t.Skip(err)
	}
	w, err := newNetwork(false, true, 2, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	took := func(h *host, f func() error) time.Duration {
		t.Helper()
		began := time.Now()
		if err := h.do(f); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	// Of coreutils: it calls fdatasync.
	child := func() error { return exec.CommandContext(t.Context(), "sync", "--data", file.Name()).Run() }
	slow, other := w.hosts[0], w.hosts[1]
	const least = 300 * time.Millisecond
	slow.disk.slow(least, 2*least)
	for name, f := range map[string]func() error{"the thread": file.Sync, "a process": child} {
		if d := took(slow, f); d < least {
			t.Errorf("%s of the slow host waited %v for the disk, want %v or more", name, d, least)
		}
	}
	if d := took(other, child); d >= least {
		t.Errorf("a process of another host waited %v", d)
	}
	if held := slow.disk.mend(); held != 2 {
		t.Errorf("%d calls were held back, want 2", held)
	}
	for name, f := range map[string]func() error{"the thread": file.Sync, "a process": child} {
		if d := took(slow, f); d >= least {
			t.Errorf("%s of the mended host waited %v for the disk", name, d)
		}
	}
	// A disk that stands still lets go of what waits when it is mended, and of the dead.
	slow.disk.slow(stall, stall)
	cmd := exec.CommandContext(t.Context(), "sync", file.Name())
	if err := slow.do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- cmd.Wait() }()
	for held := 0; held == 0; {
		slow.disk.mu.Lock()
		held = slow.disk.spoiled
		slow.disk.mu.Unlock()
		if err := pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-waiting:
		t.Errorf("a disk that stands still let a process go on: %v", err)
	default:
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err == nil {
		t.Error("the process was killed and ended well")
	}
	if held := slow.disk.mend(); held != 1 {
		t.Errorf("%d calls were held back by a disk that stands still, want 1", held)
	}
}

// TestDiskErrors has the disk of a host return errors for one of two files.
func TestDiskErrors(t *testing.T) {
	if err := canSlowDisks(); err != nil {
		t.Skip(err)
	}
	w, err := newNetwork(false, true, 1, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	bad, good := filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "good")
	write := func(path string) (writing, syncing error) {
		err := w.hosts[0].do(func() error {
			file, err := os.Create(path)
			if err != nil {
				return err
			}
			_, writing = file.WriteAt([]byte("text"), 0)
			_, err = file.WriteString("text")
			syncing = file.Sync()
			return errors.Join(err, file.Close())
		})
		if err != nil {
			t.Error(err)
		}
		return writing, syncing
	}
	d := w.hosts[0].disk
	d.fail(regexp.MustCompile("/bad$"))
	if writing, syncing := write(bad); !errors.Is(writing, syscall.EIO) || !errors.Is(syncing, syscall.EIO) {
		t.Errorf("the bad file: %v, %v; want EIO twice", writing, syncing)
	}
	if writing, syncing := write(good); writing != nil || syncing != nil {
		t.Errorf("the good file: %v, %v", writing, syncing)
	}
	if n := d.mend(); n != 2 {
		t.Errorf("%d calls failed, want 2", n)
	}
	if writing, syncing := write(bad); writing != nil || syncing != nil {
		t.Errorf("the disk is well: %v, %v", writing, syncing)
	}
}
