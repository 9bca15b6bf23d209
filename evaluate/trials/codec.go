package trials

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// partBytes is the length of the parts of an experiment: few enough that streams share a connection.
const partBytes = 1 << 20

// encode returns what a server needs of an experiment: all but what belongs to the process that tunes.
func encode(e evaluate.Experiment) ([]byte, error) {
	e.Tuning = &evaluate.Tuning{Trials: e.Tuning.Trials, Method: e.Tuning.Method, Folds: e.Tuning.Folds}
	e.Threads = 0
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(&e)
	return b.Bytes(), err
}

// decode reads an experiment, and all parts that the caller has to send.
func decode(parts *parts) (evaluate.Experiment, error) {
	var e evaluate.Experiment
	err := gob.NewDecoder(bufio.NewReader(parts)).Decode(&e)
	if e.Tuning != nil && len(e.Tuning.Known) > 0 {
		err = errors.New("it knows trials")
	}
	switch {
	case parts.err != nil:
		return e, parts.err
	case err != nil:
		return e, fmt.Errorf("%w: an experiment that cannot be read: %w", wire.ErrInvalid, err)
	case parts.open > 0 || len(parts.buffered) > 0 || e.Tuning == nil:
		return e, fmt.Errorf("%w: more than an experiment, or one without tuning", wire.ErrInvalid)
	}
	return e, nil
}

// parts reads the parts of an experiment from a stream.
type parts struct {
	stream   grpc.BidiStreamingServer[kithv1.TryRequest, kithv1.TryResponse]
	open     uint64 // bytes that have not come
	buffered []byte
	err      error // of the stream
}

// Read implements io.Reader.
func (p *parts) Read(b []byte) (int, error) {
	if len(p.buffered) == 0 {
		if p.open == 0 {
			return 0, io.EOF
		}
		m, err := p.stream.Recv()
		if err != nil {
			p.err = err
			return 0, err
		}
		p.buffered = m.GetPart()
		if n := uint64(len(p.buffered)); n == 0 || n > p.open {
			p.err = fmt.Errorf("%w: a part of %d bytes, with %d to come", wire.ErrInvalid, n, p.open)
			return 0, p.err
		}
		p.open -= uint64(len(p.buffered))
	}
	n := copy(b, p.buffered)
	p.buffered = p.buffered[n:]
	return n, nil
}
