package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
)

const (
	// maxJoined bounds an answer that is joined from a stream: as large as the largest message of gRPC.
	maxJoined = 16 << 20
	// writePatience is how long a client may take for what is sent at a time.
	writePatience = 30 * time.Second
	// keptBack is how much of an answer net/http keeps until the handler has returned, at least: writing so little waits for nobody.
	keptBack = 2 << 10
	// maxScratch bounds what is kept of the memory of an answer for the next one; most are far smaller.
	maxScratch = 64 << 10
)

// jsonType is the content type of an answer of one message. All answers share it; it must not be changed.
var jsonType = []string{"application/json"}

// marshal appends the JSON of an answer in one line, with the names of the protocol and with all fields that are not optional.
func (h *handler) marshal(b []byte, m proto.Message) ([]byte, error) {
	b, err := h.shape.append(b, m.ProtoReflect())
	if err != nil {
		return b, fmt.Errorf("answer: %w", err)
	}
	return append(b, '\n'), nil
}

// writeJSON answers with a message.
func (h *handler) writeJSON(w http.ResponseWriter, m proto.Message) {
	scratch, _ := h.face.scratch.Get().(*[]byte)
	if scratch == nil {
		scratch = new([]byte)
	}
	text, err := h.marshal((*scratch)[:0], m)
	if cap(text) <= maxScratch {
		*scratch = text
		defer h.face.scratch.Put(scratch)
	}
	if err != nil {
		wire.WriteHTTP(w, err)
		return
	}
	w.Header()["Content-Type"] = jsonType
	if len(text) > keptBack {
		w.Header().Set("Content-Length", strconv.Itoa(len(text))) // or else it is sent in chunks
		defer patience(w)()
	}
	_, _ = w.Write(text) // a client that has gone needs no answer
}

// patience bounds the time of a write. Call what it returns afterwards: the connection may be used for more.
func patience(w http.ResponseWriter) (done func()) {
	conn := http.NewResponseController(w)
	if err := conn.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return func() {} // not all connections can be told
	}
	return func() { _ = conn.SetWriteDeadline(time.Time{}) }
}

// joined makes one object of the messages of a stream: lists are appended to each other.
type joined struct {
	h     *handler
	w     http.ResponseWriter
	whole proto.Message
	size  int
}

func (j *joined) put(m proto.Message) error {
	if j.size += proto.Size(m); j.size > maxJoined {
		return &wire.HTTPError{
			Status: http.StatusNotAcceptable, Reason: "TOO_LARGE",
			Message: fmt.Sprintf("the answer has more than %d MiB; ask for lines by 'Accept: %s'", maxJoined>>20, linesType),
		}
	}
	proto.Merge(j.whole, m)
	return nil
}

func (j *joined) end(err error) {
	if err != nil {
		wire.WriteHTTP(j.w, err)
		return
	}
	j.h.writeJSON(j.w, j.whole)
}

// lines sends each message as a line. An error that comes after the first is a line of its own, the last one: {"error": ...}.
type lines struct {
	h     *handler
	w     http.ResponseWriter
	line  []byte // the last one, whose memory serves for the next
	begun bool
}

func (l *lines) put(m proto.Message) error {
	var err error
	if l.line, err = l.h.marshal(l.line[:0], m); err != nil {
		return err
	}
	return l.write(l.line)
}

// write sends a line at once.
func (l *lines) write(line []byte) error {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", linesType)
	}
	defer patience(l.w)()
	if _, err := l.w.Write(line); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}

func (l *lines) end(err error) {
	switch {
	case err == nil && !l.begun:
		l.w.Header().Set("Content-Type", linesType)
		l.w.WriteHeader(http.StatusOK)
	case err == nil:
	case !l.begun:
		wire.WriteHTTP(l.w, err)
	default:
		line, err := json.Marshal(map[string]wire.HTTPBody{"error": wire.HTTPErrorOf(l.w.Header(), err)})
		if err == nil {
			_ = l.write(append(line, '\n')) // a client that has gone needs no answer
		}
	}
}
