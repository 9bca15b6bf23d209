package worker

import (
	"fmt"
	"slices"
	"sync"
)

// board is what the workers of a training have put on this node. What one puts in a step can be got in later steps, and what was there before the step can
// be got until the worker begins its next, when all others have ended theirs: who gets something has what a training without a hurry would give it.
// It is safe for concurrent use.
type board struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	kept  map[uint32]map[string][]put
}

// put is what was put in a step, or that something was dropped.
type put struct {
	step    uint32
	dropped bool
	b       []byte
}

func newBoard(limit int64) *board { return &board{limit: limit, kept: map[uint32]map[string][]put{}} }

// put keeps b. It returns an error if that is more than the limit allows.
func (b *board) put(worker, step uint32, name string, x []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, rest := b.split(worker, step, name)
	if total := b.bytes - old + int64(len(x)); total > b.limit {
		return fmt.Errorf("%q of %d bytes: models in training would keep %d bytes for each other, with a limit of %d; "+
			"choose smaller settings for the model, or raise the limit (--model-memory-mib)", name, len(x), total, b.limit)
	}
	b.set(worker, name, append(rest, put{step: step, b: x}))
	b.bytes += int64(len(x)) - old
	return nil
}

// drop forgets what was put, behind the step.
func (b *board) drop(worker, step uint32, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, rest := b.split(worker, step, name)
	b.bytes -= old
	b.set(worker, name, append(rest, put{step: step, dropped: true}))
}

// split returns what of a name is still to be seen in a step, and the bytes of the rest.
func (b *board) split(worker, step uint32, name string) (bytes int64, rest []put) {
	for _, p := range b.kept[worker][name] {
		if p.step < step {
			rest = append(rest, p)
		} else {
			bytes += int64(len(p.b))
		}
	}
	return bytes, rest
}

func (b *board) set(worker uint32, name string, all []put) {
	if b.kept[worker] == nil {
		b.kept[worker] = map[string][]put{}
	}
	if len(all) == 0 {
		delete(b.kept[worker], name)
		return
	}
	b.kept[worker][name] = all
}

// settle frees what nobody can see from a step of a worker on.
func (b *board) settle(worker, step uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, all := range b.kept[worker] {
		last := len(all) - 1
		for _, p := range all[:last] {
			b.bytes -= int64(len(p.b))
		}
		if all = slices.Clone(all[last:]); all[0].dropped && all[0].step < step {
			all = nil
		}
		b.set(worker, name, all)
	}
}

// get returns what a worker has put before a step.
func (b *board) get(worker, step uint32, name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.kept[worker][name]
	for _, p := range slices.Backward(all) {
		if p.step < step {
			if p.dropped {
				break
			}
			return p.b, nil
		}
	}
	return nil, fmt.Errorf("worker %d has put nothing under %q before step %d: are all servers of one program?", worker, name, step)
}
