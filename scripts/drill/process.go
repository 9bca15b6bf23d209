//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// process is a kith server, running or not. Its methods are for one goroutine at a time, but for those that say so.
type process struct {
	host *host
	id   string
	dir  string // data folder, as seen on the host
	log  string // file
	// clock is the file that sets its clock off, or empty.
	clock string
	args  []string
	bin   string

	mu      sync.Mutex
	running *running // nil while it does not run
	starts  int
}

// running is one life of a process.
type running struct {
	cmd *exec.Cmd
	// ended is closed when it is over; then cmd.ProcessState says how.
	ended chan struct{}
}

// ports of every server: each has an address of its own.
const (
	grpcPort   = "7801"
	raftPort   = "7802"
	gossipPort = "7803"
)

// at returns the address of a port of a host.
func (h *host) at(port string) string { return net.JoinHostPort(h.addr.String(), port) }

// start starts the process on its host. It fails if it runs.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return fmt.Errorf("%s runs already", p.id)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.Command(p.bin, p.args...)
	// Hosts in namespaces are not on the loopback network. As a flag, earlier versions would refuse it.
	cmd.Env = append(os.Environ(), "KITH_INSECURE=true")
	cmd.Stderr = log
	if p.clock != "" {
		cmd.Env = append(cmd.Env, clockEnv+"="+p.clock)
	}
	// It must not outlive the drill, and a Ctrl-C is for the drill alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.host.do(cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", p.id, err)
	}
	r := &running{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its state says the same
		close(r.ended)
	}()
	p.running = r
	p.starts++
	return nil
}

// current returns the life of the process that it has now, or nil. It is safe for concurrent use.
func (p *process) current() *running {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// died returns why the process ended by itself, or nil. It is safe for concurrent use.
func (p *process) died() error {
	r := p.current()
	if r == nil {
		return nil
	}
	select {
	case <-r.ended:
		return fmt.Errorf("%s ended by itself (%s): %w", p.id, r.cmd.ProcessState, p.lastError())
	default:
		return nil
	}
}

// signal sends a signal, if the process runs.
func (p *process) signal(s syscall.Signal) error {
	r := p.current()
	if r == nil {
		return nil
	}
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", s, p.id, err)
	}
	return nil
}

// end sends a signal that ends the process, and waits until it is over. A stopped process ends too.
func (p *process) end(ctx context.Context, s syscall.Signal) error {
	r := p.current()
	if r == nil {
		return nil
	}
	if err := errors.Join(p.signal(s), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-r.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s did not end by %v: %w", p.id, s, ctx.Err())
	}
	p.mu.Lock()
	p.running = nil
	p.mu.Unlock()
	return nil
}

// quit asks the process to stop, and waits until it has. It fails if the process says that something went wrong.
func (p *process) quit(ctx context.Context) error {
	r := p.current()
	if err := p.end(ctx, syscall.SIGTERM); err != nil || r == nil {
		return err
	}
	if !r.cmd.ProcessState.Success() {
		return fmt.Errorf("%s was asked to stop and ended with %v: %w", p.id, r.cmd.ProcessState, p.lastError())
	}
	return nil
}

// lastWords matches what kith, or the Go runtime, says before it ends by itself, and an error in the log.
var lastWords = regexp.MustCompile(`^kith( [a-z]+)*: |^panic: |^fatal error: |level=ERROR|msg=stopped reason=`)

// lastError returns the last line of the log that tells of an error, or of the reason for the end, as an error.
func (p *process) lastError() error {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if lastWords.MatchString(lines[i]) {
			return errors.New(lines[i])
		}
	}
	return errors.New(lines[len(lines)-1])
}

// resources are what a process holds of the system.
type resources struct {
	Files   int `json:"files"`
	Threads int `json:"threads"`
	// MemoryMB is the resident memory in units of 10^6 bytes.
	MemoryMB int `json:"memory_mb"`
}

var statusLine = regexp.MustCompile(`(?m)^(Threads|VmRSS):\s+(\d+)`)

// resources reads what the process holds.
func (p *process) resources() (resources, error) {
	var out resources
	r := p.current()
	if r == nil {
		return out, fmt.Errorf("%s does not run", p.id)
	}
	proc := filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return out, err
	}
	out.Files = len(files)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return out, err
	}
	for _, m := range statusLine.FindAllStringSubmatch(string(status), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return out, err
		}
		if m[1] == "Threads" {
			out.Threads = n
		} else {
			out.MemoryMB = n * 1024 / 1e6
		}
	}
	return out, nil
}

var goroutineLine = regexp.MustCompile(`(?m)^goroutine \d+ `)

// goroutines ends the process with SIGQUIT, upon which the Go runtime writes down every goroutine, and counts them.
func (p *process) goroutines(ctx context.Context) (int, error) {
	before, err := os.Stat(p.log)
	if err != nil {
		return 0, err
	}
	if err := p.end(ctx, syscall.SIGQUIT); err != nil {
		return 0, err
	}
	b, err := os.ReadFile(p.log)
	if err != nil {
		return 0, err
	}
	n := len(goroutineLine.FindAll(b[before.Size():], -1))
	if n == 0 {
		return 0, fmt.Errorf("%s: no goroutines in %s after SIGQUIT", p.id, p.log)
	}
	return n, nil
}
