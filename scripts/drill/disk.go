//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk spoils what the processes of one host write to files. It can be slow: each call that waits for the disk (fsync, fdatasync,
// sync_file_range) is held back for a time, and then carried out as if nothing had been. And it can fail: those calls, and pwrite64, which
// writes at a place of a file, return EIO for some files. What was written before a sync that failed can be read, as with a real disk.
//
// The kernel asks before each such call (seccomp user notification): the thread that starts the processes of the host has a filter,
// which they inherit, and the drill has the other end. They need not be changed for it, and nothing is left when they have ended.
type disk struct {
	listener *os.File
	rng      *rand.Rand // of serve alone
	serving  sync.WaitGroup

	mu sync.Mutex
	// Calls are held back from least to most. With most 0 they are not.
	least, most time.Duration
	// mended is closed when calls are to be held back no longer.
	mended chan struct{}
	// fails says of which files, by their paths, calls fail; nil for none.
	fails *regexp.Regexp
	// spoiled are the calls that were held back, or failed, since the disk was mended.
	spoiled int
}

// stall is how long a call is held back by a disk that stands still: until it is mended.
const stall = time.Hour

// newDisk puts the filter on the calling thread, which must be locked and is filtered as long as it lives.
func newDisk(rng *rand.Rand) (*disk, error) {
	fd, err := filterSyncs()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	d := &disk{listener: os.NewFile(uintptr(fd), "seccomp"), rng: rng, mended: make(chan struct{})}
	d.serving.Go(d.serve)
	return d, nil
}

// filterSyncs has the kernel ask before the calling thread, or what descends from it, waits for a disk or calls pwrite64. It returns the end at which
// it asks.
func filterSyncs() (fd int, err error) {
	calls := []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_PWRITE64}
	load := unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS} // the number of the call is at 0
	program := []unix.SockFilter{load}
	for i, nr := range calls {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(calls) - i)})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil { // or it takes root
		return -1, fmt.Errorf("give up privileges: %w", err)
	}
	// A signal does not break off what is being asked for, or the Go runtime would ask again and again.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return -1, fmt.Errorf("filter calls by seccomp, with Linux 5.19 or newer: %w", errno)
	}
	return int(r), nil
}

// canSlowDisks returns why the disks of this machine cannot be made slow, or nil.
func canSlowDisks() error {
	tried := make(chan error, 1)
	go onThread(func() {
		d, err := newDisk(nil)
		if err == nil {
			err = d.close()
		}
		tried <- err
	})
	return <-tried
}

// question and answer are struct seccomp_notif and struct seccomp_notif_resp of the kernel.
type question struct {
	id         uint64
	pid, flags uint32 // of the thread
	call       int32
	arch       uint32
	at         uint64
	args       [6]uint64 // the first one is a file descriptor
}

type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// serve answers the kernel until the disk is closed, or no process is left that it could ask for.
func (d *disk) serve() {
	conn, err := d.listener.SyscallConn()
	if err != nil {
		return // closed
	}
	for {
		var q question
		gone := false
		err := conn.Read(func(fd uintptr) bool {
			ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(ready, 0); n == 0 || err != nil {
				return false
			}
			if gone = ready[0].Revents&unix.POLLIN == 0; gone {
				return true
			}
			q = question{}
			if control(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q)) != nil {
				q.id = 0 // who asked is dead
			}
			return true
		})
		if err != nil || gone {
			return
		}
		if q.id != 0 {
			d.take(q)
		}
	}
}

// take lets a call go on, at once or later, or fail.
func (d *disk) take(q question) {
	d.mu.Lock()
	wait, mended, fails := d.most, d.mended, d.fails
	if q.call == unix.SYS_PWRITE64 {
		wait = 0
	}
	if wait > 0 {
		d.spoiled++
		if d.most > d.least {
			wait = d.least + upTo(d.rng, d.most-d.least)
		}
	}
	d.mu.Unlock()
	switch {
	case fails != nil && fails.MatchString(q.file()):
		d.mu.Lock()
		d.spoiled++
		d.mu.Unlock()
		d.answer(answer{id: q.id, errno: -int32(unix.EIO)})
	case wait == 0:
		d.allow(q.id)
	default:
		d.serving.Go(func() {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-mended:
			}
			d.allow(q.id)
		})
	}
}

// file returns the path of the file that a call is about, or "" if the process is gone.
func (q question) file() string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", q.pid, int32(q.args[0])))
	return path
}

// allow has the kernel carry out a call.
func (d *disk) allow(id uint64) {
	d.answer(answer{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// answer tells the kernel what becomes of a call. Who asked may be dead.
func (d *disk) answer(a answer) {
	conn, err := d.listener.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = conn.Control(func(fd uintptr) { _ = control(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) })
}

// control is ioctl with a structure, which must not move meanwhile.
func control(fd, request uintptr, arg unsafe.Pointer) error {
	for {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno == 0 {
			return nil
		} else if errno != unix.EINTR {
			return errno
		}
	}
}

// slow holds calls back from now on. The disk must be mended before it is spoiled again.
func (d *disk) slow(least, most time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.least, d.most = least, most
}

// fail has calls fail from now on whose files' paths match.
func (d *disk) fail(files *regexp.Regexp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = files
}

// mend lets all go on. It returns how many calls were held back, or failed.
func (d *disk) mend() (spoiled int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.least, d.most, d.fails = 0, 0, nil
	close(d.mended)
	d.mended = make(chan struct{})
	spoiled, d.spoiled = d.spoiled, 0
	return spoiled
}

// close ends what newDisk started. What is asked for after it fails.
func (d *disk) close() error {
	d.mend()
	err := d.listener.Close()
	d.serving.Wait()
	return err
}

// slowDisk is the fault of a disk that takes long, or nearly for ever.
type slowDisk struct {
	role  role
	stall bool
	who   []*process
}

// Times that a slow disk takes for each call.
const (
	slowLeast = 100 * time.Millisecond
	slowMost  = 500 * time.Millisecond
)

func (f *slowDisk) kind() string {
	if f.stall {
		return "disk stands still: " + string(f.role)
	}
	return "slow disk: " + string(f.role)
}

// survivable implements fault. A cluster whose disks are all slow is slow, and works.
func (f *slowDisk) survivable() bool { return !f.stall || f.role.survivable() }

func (f *slowDisk) inject(ctx context.Context, c *cluster) ([]*process, error) {
	f.who = c.pick(ctx, f.role)
	for _, p := range f.who {
		if f.stall {
			p.host.disk.slow(stall, stall)
		} else {
			p.host.disk.slow(slowLeast, slowMost)
		}
	}
	return f.who, nil
}

func (f *slowDisk) heal(context.Context, *cluster) (string, error) {
	held := 0
	for _, p := range f.who {
		held += p.host.disk.mend()
	}
	return fmt.Sprintf("%d waits for a disk were held back", held), nil
}
