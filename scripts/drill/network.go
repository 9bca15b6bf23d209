//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// packetBytes is the largest packet of the network: large ones cost the switch less for each byte.
	packetBytes = 16 << 10
	// queuePackets bounds what waits on one slow link. What comes when it is full is lost, as at a router.
	queuePackets = 4096
)

// network connects the hosts of a drill and spoils what it carries.
//
// With namespaces, each host is a network namespace whose only way out is a TUN device that this process holds. The
// process is the switch between them: it sees every IP packet, and can drop, lose and delay those of any ordered pair of
// hosts, which a proxy of connections could do neither to gossip over UDP nor to connections that are open. Nothing of
// it outlives the process, and nothing leaves the machine. It needs root and /dev/net/tun.
//
// Without, each host is an address of the loopback network, and nothing can be spoiled.
type network struct {
	namespaces bool
	disks      bool // can be made slow
	hosts      []*host
	readers    sync.WaitGroup

	mu sync.RWMutex
	// byAddr, cuts and the rest are read for each packet.
	byAddr map[netip.Addr]*host
	// cuts counts, for an ordered pair, the faults that cut it.
	cuts map[pair]int
	// lags make packets from and to a host that late, whoever is at the other end.
	lags map[*host]time.Duration
	// delay and loss hold for links between servers.
	delay time.Duration
	loss  float64
	// rng decides which packets are lost; own mutex, as readers share it.
	rngMu sync.Mutex
	rng   *rand.Rand
}

// pair is a link from one host to another.
type pair struct{ from, to *host }

// host is where one process of the drill runs.
type host struct {
	name   string
	addr   netip.Addr
	client bool  // its links are cut only with clients, and never slow
	disk   *disk // of the processes there; nil for clients, and where disks cannot be made slow
	tun    *os.File
	netNS  int // file descriptor of the namespace; -1 without
	calls  chan func()
	done   chan struct{}
	slow   chan packet
}

// packet waits on a slow link.
type packet struct {
	due  time.Time
	to   *host
	data []byte
}

// newNetwork makes n servers' hosts, with disks those whose disks can be made slow, and one more, the last, for the clients. The caller must close it.
func newNetwork(namespaces, disks bool, n int, rng *rand.Rand) (*network, error) {
	w := &network{namespaces: namespaces, disks: disks, byAddr: map[netip.Addr]*host{}, cuts: map[pair]int{}, lags: map[*host]time.Duration{}, rng: rng}
	for i := range n + 1 {
		h := &host{name: fmt.Sprintf("n%d", i+1), client: i == n, netNS: -1, calls: make(chan func()), done: make(chan struct{}), slow: make(chan packet, queuePackets)}
		if h.client {
			h.name = "clients"
		}
		// 198.18.0.0/15 is kept free for tests of networks; here it exists only within the namespaces.
		h.addr = netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)})
		if !namespaces {
			h.addr = netip.AddrFrom4([4]byte{127, byte(1 + os.Getpid()%250), byte(os.Getpid() / 250), byte(i + 1)})
		}
		if err := w.open(h); err != nil {
			return nil, errors.Join(fmt.Errorf("host %s: %w", h.name, err), w.close())
		}
	}
	return w, nil
}

// open starts the thread of a host and, with namespaces, what reads its packets.
func (w *network) open(h *host) error {
	opened := make(chan error, 1)
	go onThread(func() {
		defer close(h.done)
		var err error
		if w.namespaces {
			err = h.isolate()
		}
		if err == nil && !h.client && w.disks {
			h.disk, err = newDisk(rand.New(rand.NewPCG(uint64(len(w.hosts)), 4)))
		}
		opened <- err
		if err != nil {
			return
		}
		for f := range h.calls {
			f()
		}
	})
	if err := <-opened; err != nil {
		<-h.done
		return err
	}
	w.hosts = append(w.hosts, h)
	w.mu.Lock()
	w.byAddr[h.addr] = h
	w.mu.Unlock()
	if w.namespaces {
		w.readers.Go(func() { w.forward(h) })
		w.readers.Go(func() { w.deliverLate(h) })
	}
	return nil
}

// onThread runs f on a thread of its own that ends with f, because f changes what belongs to the thread. It is never
// the main thread, which stands for the whole process.
func onThread(f func()) {
	runtime.LockOSThread() // and never unlocked, so that the thread ends with the goroutine
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	var other sync.WaitGroup
	other.Go(func() { onThread(f) })
	other.Wait()
	runtime.UnlockOSThread() // nothing was done to it
}

// isolate gives the calling thread a network and mounts of its own, and a way out of that network.
func (h *host) isolate() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make namespaces: %w; run the drill as root, or with --network none", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to the namespace: %w", err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w; load the module tun, or use --network none", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	const device = "drill0"
	ifr, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return fmt.Errorf("make device %s: %w", device, err)
	}
	if err := setUp(device, h.addr); err != nil {
		return fmt.Errorf("set up device %s: %w", device, err)
	}
	if h.netNS, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the namespace: %w", err)
	}
	h.tun = os.NewFile(uintptr(fd), device)
	return nil
}

// setUp brings up loopback and a device with an address in a network of 256.
func setUp(device string, addr netip.Addr) (err error) {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(sock)) }()
	set := func(device string, request uint, fill func(*unix.Ifreq) error) error {
		ifr, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		if err := fill(ifr); err != nil {
			return err
		}
		return unix.IoctlIfreq(sock, request, ifr)
	}
	up := func(ifr *unix.Ifreq) error { ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	return errors.Join(
		set("lo", unix.SIOCSIFFLAGS, up),
		set(device, unix.SIOCSIFADDR, func(ifr *unix.Ifreq) error { return ifr.SetInet4Addr(addr.AsSlice()) }),
		set(device, unix.SIOCSIFNETMASK, func(ifr *unix.Ifreq) error { return ifr.SetInet4Addr([]byte{255, 255, 255, 0}) }),
		set(device, unix.SIOCSIFMTU, func(ifr *unix.Ifreq) error { ifr.SetUint32(packetBytes); return nil }),
		set(device, unix.SIOCSIFFLAGS, up),
	)
}

// do runs f on the thread of the host: processes that it starts are on that host, and it sees the mounts of it.
func (h *host) do(f func() error) error {
	errs := make(chan error, 1)
	h.calls <- func() { errs <- f() }
	return <-errs
}

// dial connects from the host to an address with a numeric host.
func (h *host) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	if h.netNS < 0 {
		return d.DialContext(ctx, "tcp", addr)
	}
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 1)
	go onThread(func() { // a socket belongs to the namespace of the thread that makes it
		if err := unix.Setns(h.netNS, unix.CLONE_NEWNET); err != nil {
			results <- result{nil, fmt.Errorf("enter the network of %s: %w", h.name, err)}
			return
		}
		conn, err := d.DialContext(ctx, "tcp", addr)
		results <- result{conn, err}
	})
	r := <-results
	return r.conn, r.err
}

// forward carries the packets that a host sends until its device is closed.
func (w *network) forward(from *host) {
	buf := make([]byte, packetBytes+64)
	for {
		n, err := from.tun.Read(buf)
		if err != nil {
			return // closed
		}
		if n < 20 || buf[0]>>4 != 4 {
			continue // IPv6 chatter of the kernel
		}
		to, delay := w.route(from, netip.AddrFrom4([4]byte(buf[16:20])))
		switch {
		case to == nil:
		case delay == 0:
			_, _ = to.tun.Write(buf[:n]) // a packet that cannot be delivered is lost
		default:
			select {
			case from.slow <- packet{time.Now().Add(delay), to, slices.Clone(buf[:n])}:
			default: // lost
			}
		}
	}
}

// deliverLate carries the packets of slow links, in order, until the network closes. All of a host wait about the same time: those to a
// host that lags may hold up others.
func (w *network) deliverLate(from *host) {
	for p := range from.slow {
		time.Sleep(time.Until(p.due))
		_, _ = p.to.tun.Write(p.data) // a packet that cannot be delivered is lost
	}
}

// route says to whom a packet goes, or nil if it is lost, and how long it takes.
func (w *network) route(from *host, addr netip.Addr) (*host, time.Duration) {
	w.mu.RLock()
	to := w.byAddr[addr]
	cut := to == nil || w.cuts[pair{from, to}] > 0
	delay, loss, lag := w.delay, w.loss, w.lags[from]+w.lags[to]
	w.mu.RUnlock()
	switch {
	case cut:
		return nil, 0
	case from.client || to.client:
		return to, lag
	case loss > 0 && w.draw() < loss:
		return nil, 0
	}
	return to, delay + lag
}

func (w *network) draw() float64 {
	w.rngMu.Lock()
	defer w.rngMu.Unlock()
	return w.rng.Float64()
}

// cut cuts links, and mend undoes it. Several may cut the same.
func (w *network) cut(links []pair)  { w.count(links, 1) }
func (w *network) mend(links []pair) { w.count(links, -1) }

func (w *network) count(links []pair, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range links {
		w.cuts[l] += by
	}
}

// spoil makes all packets between servers late by delay, and loses a share of them.
func (w *network) spoil(delay time.Duration, loss float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.loss = delay, loss
}

// lag makes all packets from and to a host late.
func (w *network) lag(h *host, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lags[h] = delay
}

// close ends what the network started. No process may be left on its hosts.
func (w *network) close() error {
	var errs []error
	for _, h := range w.hosts {
		if h.tun != nil {
			errs = append(errs, h.tun.Close())
		}
		close(h.calls)
		<-h.done
		if h.netNS >= 0 {
			errs = append(errs, unix.Close(h.netNS))
		}
		if h.disk != nil {
			errs = append(errs, h.disk.close())
		}
	}
	for _, h := range w.hosts {
		close(h.slow)
	}
	w.readers.Wait()
	return errors.Join(errs...)
}
