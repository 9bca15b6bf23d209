package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
)

const (
	// maxJoined bounds an answer that is joined from a stream: as large as the largest message of gRPC.
	maxJoined = 16 << 20
	// writePatience is how long a client may take for what is sent at a time.
	writePatience = 30 * time.Second
)

// marshal returns the JSON of a message, with the names of the protocol and with all fields that are not optional, in one line.
func marshal(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil { // protojson varies its white space
		return nil, fmt.Errorf("answer: %w", err)
	}
	return append(line.Bytes(), '\n'), nil
}

// writeJSON answers with a message.
func writeJSON(w http.ResponseWriter, m proto.Message) {
	text, err := marshal(m)
	if err != nil {
		wire.WriteHTTP(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	defer patience(w)()
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
	writeJSON(j.w, j.whole)
}

// lines sends each message as a line. An error that comes after the first is a line of its own, the last one: {"error": ...}.
type lines struct {
	w     http.ResponseWriter
	begun bool
}

func (l *lines) put(m proto.Message) error {
	text, err := marshal(m)
	if err != nil {
		return err
	}
	return l.write(text)
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
