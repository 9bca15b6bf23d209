package consensus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A connection starts with a header:
//
//	"kith" | version u8 | length u8, name of the group | length u8, id of the cluster | length u8, id of the member that is called
//
// Groups have the same names everywhere, and an address may come to belong to a process of another cluster, or to a new member of
// the same: raft would take such a process for the member that it calls, which then seems to have forgotten what it acknowledged. A
// process that is in no cluster yet leaves that id empty, which fits all.
//
// Nothing is answered: from there on the connection belongs to raft. With TLS all of it is inside.
const (
	muxMagic   = "kith"
	muxVersion = 3
	// maxGroupName is what one byte of length can say.
	maxGroupName = 255
	// headerTimeout is how long a new connection may take to name its group. A header is one
	// small packet, so only a stranger or a broken network needs longer.
	headerTimeout = 5 * time.Second
	// maxHandshakes bounds the connections that have not named their group
	// yet; more are closed at once. Strangers can so hold this many sockets and no more.
	maxHandshakes = 256
	// acceptRetry is the pause after an error of Accept that may pass, such as
	// too many open files.
	acceptRetry = 50 * time.Millisecond
)

// Mux shares one listener among the raft groups of a process. Each connection
// names its group first and is handed to the layer of that group.
type Mux struct {
	ln   net.Listener
	addr net.Addr
	log  *slog.Logger
	// server and client are the settings of TLS of connections from and to others; nil without TLS.
	server, client *tls.Config
	// cluster is the id of the cluster that this process is part of; empty as long as it is not known.
	cluster atomic.Pointer[string]

	mu     sync.Mutex        // guards what follows; nothing blocks under it
	layers map[string]*layer // the open layers by group
	closed bool
}

// NewMux returns a Mux on ln that is not running yet: connections wait in the
// listener's queue until Run. The Mux owns ln from here on. advertise is the
// host:port by which other processes reach it; empty means the address of ln.
func NewMux(ln net.Listener, advertise string, log *slog.Logger) *Mux {
	m := &Mux{ln: ln, addr: ln.Addr(), log: log, layers: make(map[string]*layer)}
	if advertise != "" {
		m.addr = muxAddr(advertise)
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	return m
}

// NewTLSMux is NewMux with connections that are encrypted. The settings must make sure that only nodes of the cluster are at both ends: raft
// asks for nothing more.
func NewTLSMux(ln net.Listener, advertise string, server, client *tls.Config, log *slog.Logger) *Mux {
	m := NewMux(ln, advertise, log)
	m.server, m.client = server, client
	return m
}

// SetCluster tells of which cluster this process is part, at most 255 bytes: connections from others are refused from then on.
func (m *Mux) SetCluster(id string) { m.cluster.Store(&id) }

func (m *Mux) clusterID() string {
	if id := m.cluster.Load(); id != nil {
		return *id
	}
	return ""
}

// muxAddr is an advertised host:port.
type muxAddr string

func (muxAddr) Network() string  { return "tcp" }
func (a muxAddr) String() string { return string(a) }

// Addr returns the address under which others reach the Mux.
func (m *Mux) Addr() net.Addr { return m.addr }

// Run accepts connections until ctx is done, and returns after every goroutine
// it started has ended. It closes the listener and all layers: stop the groups
// first. It returns nil if the stop was asked for.
func (m *Mux) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, m.close)
	defer stop()
	defer m.close()

	handshakes := make(chan struct{}, maxHandshakes) // one token for each connection without a group
	for {
		conn, err := m.ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("raft listener %s: %w", m.addr, err)
			}
			m.log.Warn("accept raft connection", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(acceptRetry):
			}
			continue
		}
		select {
		case handshakes <- struct{}{}:
		default:
			m.log.Warn("too many raft connections without a group", "remote", conn.RemoteAddr().String())
			_ = conn.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-handshakes }()
			if err := m.handshake(ctx, conn); err != nil {
				m.log.Debug("refuse raft connection", "remote", conn.RemoteAddr().String(), "err", err)
				_ = conn.Close()
			}
		})
	}
}

// close ends the listener and all layers.
func (m *Mux) close() {
	m.mu.Lock()
	m.closed = true
	layers := make([]*layer, 0, len(m.layers))
	for _, l := range m.layers {
		layers = append(layers, l)
	}
	m.mu.Unlock()
	_ = m.ln.Close()
	for _, l := range layers {
		_ = l.Close()
	}
}

// handshake agrees on TLS, reads the header of conn and hands conn to its layer. After an
// error conn is still the caller's.
func (m *Mux) handshake(ctx context.Context, conn net.Conn) error {
	// A stop must not wait for the timeout.
	raw := conn
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(headerTimeout)); err != nil {
		return err
	}
	if ctx.Err() != nil { // the stop may have come before the deadline was set
		return ctx.Err()
	}
	if m.server != nil {
		secure := tls.Server(conn, m.server)
		if err := secure.HandshakeContext(ctx); err != nil {
			return err // told of at the level of debugging: strangers could fill the log
		}
		conn = secure
	}
	h, err := readHeader(conn)
	if err != nil {
		return err
	}
	if own := m.clusterID(); own != "" && h.cluster != "" && own != h.cluster {
		m.log.Warn("refuse a raft connection of another cluster", "remote", conn.RemoteAddr().String(), "cluster", h.cluster, "own", own)
		return fmt.Errorf("connection of cluster %s, this is %s", h.cluster, own)
	}
	if !stop() {
		return ctx.Err()
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	m.mu.Lock()
	l := m.layers[h.group]
	m.mu.Unlock()
	switch {
	case l == nil:
		return fmt.Errorf("no group %q here", h.group)
	case h.member != "" && h.member != l.member:
		return fmt.Errorf("connection for member %s of group %s, this is %s", h.member, h.group, l.member)
	}
	return l.deliver(ctx, conn)
}

// header is what a connection begins with.
type header struct{ group, cluster, member string }

// readHeader reads the header and not a byte more, as what follows belongs to raft.
func readHeader(r io.Reader) (h header, err error) {
	var fixed [len(muxMagic) + 1]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return h, fmt.Errorf("read header: %w", err)
	}
	if string(fixed[:len(muxMagic)]) != muxMagic {
		return h, fmt.Errorf("not a raft connection of kith: it starts with %q", fixed[:len(muxMagic)])
	}
	if v := fixed[len(muxMagic)]; v != muxVersion {
		return h, fmt.Errorf("header version %d, want %d", v, muxVersion)
	}
	for _, text := range []*string{&h.group, &h.cluster, &h.member} {
		if *text, err = readText(r); err != nil {
			return h, fmt.Errorf("read header: %w", err)
		}
	}
	if h.group == "" {
		return h, errors.New("header without a group")
	}
	return h, nil
}

// readText reads a byte of length and as many bytes.
func readText(r io.Reader) (string, error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", err
	}
	text := make([]byte, length[0])
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	return string(text), nil
}

// bytes returns the header as it is sent.
func (h header) bytes() []byte {
	b := append([]byte(muxMagic), muxVersion)
	for _, text := range []string{h.group, h.cluster, h.member} {
		b = append(append(b, byte(len(text))), text...)
	}
	return b
}

// layer returns the stream layer of a member of a group, which takes the connections that name both until it is closed. It
// returns an error if the name of the group is empty, longer than 255 bytes or in use, or if the Mux has stopped.
func (m *Mux) layer(group, member string) (*layer, error) {
	if group == "" || len(group) > maxGroupName {
		return nil, fmt.Errorf("group %q: name must have 1 to %d bytes", group, maxGroupName)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("group %s: %w", group, ErrClosed)
	}
	if m.layers[group] != nil {
		return nil, fmt.Errorf("group %s is open already", group)
	}
	l := &layer{mux: m, group: group, member: member, accept: make(chan net.Conn), conns: make(map[*layerConn]struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	m.layers[group] = l
	return l, nil
}

// layer is the raft.StreamLayer of one group. It knows every connection of its
// group, so that closing it ends them all.
type layer struct {
	mux    *Mux
	group  string
	member string
	accept chan net.Conn // unbuffered: a connection is either raft's or the handshake's
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // counts open connections: they are in the hands of raft's goroutines

	mu    sync.Mutex // guards conns
	conns map[*layerConn]struct{}
}

var _ raft.StreamLayer = (*layer)(nil)

// deliver waits until raft takes conn.
func (l *layer) deliver(ctx context.Context, conn net.Conn) error {
	c, err := l.adopt(conn)
	if err != nil {
		return err
	}
	select {
	case l.accept <- c:
		return nil
	case <-l.ctx.Done():
		_ = c.Close()
		return net.ErrClosed
	case <-ctx.Done():
		_ = c.Close()
		return ctx.Err()
	}
}

// adopt registers conn, or returns net.ErrClosed if the layer is.
func (l *layer) adopt(conn net.Conn) (*layerConn, error) {
	c := &layerConn{Conn: conn, layer: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	l.conns[c] = struct{}{}
	l.wg.Add(1)
	return c, nil
}

// Accept returns the next connection to the group, or net.ErrClosed.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Addr returns the address of the Mux.
func (l *layer) Addr() net.Addr { return l.mux.addr }

// Dial connects to a member of the same group. The header goes out with the dial, so an
// error of a dead connection may show only at the first read.
func (l *layer) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	member, address := splitTarget(target)
	conn, err := dialPatiently(l.ctx, address, timeout)
	if err != nil {
		return nil, err
	}
	if timeout > 0 {
		if err = conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	if l.mux.client != nil {
		secure := tls.Client(conn, l.mux.client)
		if err := secure.HandshakeContext(l.ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("call %s: %w", address, err)
		}
		conn = secure
	}
	if _, err = conn.Write(header{l.group, l.mux.clusterID(), member}.bytes()); err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("name group %s: %w", l.group, err)
	}
	c, err := l.adopt(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the layer and all its connections, and frees the name of the
// group. Who uses a connection sees an error at its next read or write.
func (l *layer) Close() error {
	l.mu.Lock()
	l.cancel()
	conns := make([]*layerConn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Conn.Close() // not c.Close: that is for the user of c to call
	}
	l.mux.mu.Lock()
	if l.mux.layers[l.group] == l {
		delete(l.mux.layers, l.group)
	}
	l.mux.mu.Unlock()
	return nil
}

// wait returns once every connection was closed by its user, which is the last
// thing that raft's connection handlers do.
func (l *layer) wait() { l.wg.Wait() }

// layerConn is a connection that its layer knows.
type layerConn struct {
	net.Conn
	layer *layer
	once  sync.Once
}

// Close closes the connection and takes it out of its layer.
func (c *layerConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.layer.mu.Lock()
		delete(c.layer.conns, c)
		c.layer.mu.Unlock()
		c.layer.wg.Done()
	})
	return err
}
