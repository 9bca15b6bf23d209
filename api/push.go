package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
)

const (
	// maxLine bounds one event of a push: an event itself is bounded to about 5 KiB, its JSON may escape every character.
	maxLine = 64 << 10
	// pushEvents and pushBytes bound what is stored at a time, and so the memory of a request.
	pushEvents = 2000
	pushBytes  = 1 << 20
	// maxPushes bounds the requests that are under way.
	maxPushes = 256
	// pushPatience is how long a client may take to send what is stored at a time.
	pushPatience = 30 * time.Second
)

// reasonJSON is the reason of a line that is not an event in JSON.
const reasonJSON = "bad_json"

// storer stores valid events that have ids and take some bytes in memory.
type storer func(ctx context.Context, events []fusion.Event, bytes int64) (coordinator.AppendCounts, error)

// push takes events over HTTP: POST /v1/events with a line of JSON for each.
type push struct {
	store storer
	// rejected is told the reason of each line that is not an event.
	rejected func(reason string)
	now      func() time.Time
	// slots has room for the requests that may be under way.
	slots chan struct{}
}

func newPush(store storer, rejected func(reason string), now func() time.Time) http.Handler {
	p := &push{store: store, rejected: rejected, now: now, slots: make(chan struct{}, maxPushes)}
	return http.HandlerFunc(p.events)
}

// pushed is the answer. It tells also what was stored before an error.
type pushed struct {
	Appended   uint64 `json:"appended"`
	Duplicates uint64 `json:"duplicates"`
	// Erased were refused as their user was erased.
	Erased     uint64         `json:"erased"`
	Rejected   uint64         `json:"rejected"`
	Rejections []rejectedLine `json:"rejections,omitempty"`
	// Lines were read and dealt with, from the first on. After an error the rest can be sent again, or all: ids make that harmless.
	Lines uint64     `json:"lines"`
	Error *pushError `json:"error,omitempty"`
}

// rejectedLine is an event that was not stored.
type rejectedLine struct {
	Line   uint64 `json:"line"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// pushError is why a request ended early, as other routes say it.
type pushError struct {
	wire.HTTPBody
	// Reason is the code.
	Reason string `json:"reason"`
}

func (r *pushed) reject(line uint64, reason, detail string) {
	r.Rejected++
	if len(r.Rejections) < maxRejections {
		r.Rejections = append(r.Rejections, rejectedLine{line, reason, detail})
	}
}

// events implements POST /v1/events.
func (p *push) events(w http.ResponseWriter, r *http.Request) {
	out := &pushed{}
	// A browser sends these types to another site only if that allows it, which nothing here does.
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/json", "application/x-ndjson", "application/jsonl":
	default:
		out.answer(w, http.StatusUnsupportedMediaType, "BAD_TYPE", fmt.Sprintf("content type %q; want application/x-ndjson, with one JSON object a line", kind))
		return
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		out.answer(w, http.StatusTooManyRequests, "OVERLOADED", fmt.Sprintf("%d requests are under way; try again in a second", maxPushes))
		return
	}
	body := io.Reader(r.Body)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			out.answer(w, http.StatusBadRequest, "BAD_BODY", "the body is not gzip: "+err.Error())
			return
		}
		body = z
	default:
		out.answer(w, http.StatusUnsupportedMediaType, "BAD_ENCODING", fmt.Sprintf("content encoding %q; want none or gzip", encoding))
		return
	}
	var read *readError
	switch err := p.take(r.Context(), http.NewResponseController(w), body, out); {
	case err == nil && out.Rejected > 0 && out.Appended+out.Duplicates+out.Erased == 0:
		out.answer(w, http.StatusUnprocessableEntity, "ALL_REJECTED", fmt.Sprintf("none of %d lines is an event; see rejections", out.Lines))
	case err == nil:
		out.answer(w, http.StatusOK, "", "")
	case errors.As(err, &read):
		out.answer(w, http.StatusBadRequest, "BAD_BODY", err.Error())
	default:
		out.fail(w, err)
	}
}

// readError is an error of the client's side.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// take stores the events of a body, some at a time.
func (p *push) take(ctx context.Context, conn *http.ResponseController, body io.Reader, out *pushed) error {
	lines := bufio.NewReaderSize(body, maxLine+1)
	var events []fusion.Event
	bytesRead, line := 0, uint64(0)
	flush := func() error {
		if len(events) > 0 {
			counts, err := p.store(ctx, events, int64(bytesRead))
			if err != nil {
				return err
			}
			out.Appended, out.Duplicates, out.Erased = out.Appended+counts.Appended, out.Duplicates+counts.Duplicates, out.Erased+counts.Erased
		}
		events, bytesRead, out.Lines = nil, 0, line
		// A client may take its time for each part. Not all connections can be told.
		if err := conn.SetReadDeadline(time.Now().Add(pushPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return nil
	}
	if err := flush(); err != nil {
		return err
	}
	for {
		text, err := lines.ReadSlice('\n')
		end := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return errors.Join(flush(), &readError{fmt.Errorf("line %d has more than %d bytes; send one event a line", line+1, maxLine)})
		case err != nil && !end:
			return errors.Join(flush(), &readError{fmt.Errorf("after line %d: %w", line, err)})
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			line++
			if e, reason, err := p.parse(text); err != nil {
				out.reject(line, reason, err.Error())
				p.rejected(reason)
			} else {
				events, bytesRead = append(events, e), bytesRead+len(text)
			}
		} else if !end {
			line++ // an empty line counts, so that the client finds the others
		}
		if end || len(events) >= pushEvents || bytesRead >= pushBytes {
			if err := flush(); err != nil || end {
				return err
			}
		}
	}
}

// pushEvent is an event as a client writes it.
type pushEvent struct {
	ID       string            `json:"id"`
	User     string            `json:"user"`
	Item     string            `json:"item"`
	Behavior fusion.Behavior   `json:"behavior"`
	Value    *float64          `json:"value"`
	Time     pushTime          `json:"time"`
	Context  map[string]string `json:"context"`
}

// pushTime is a moment by RFC 3339 or in Unix milliseconds.
type pushTime struct{ ms int64 }

// UnmarshalJSON implements json.Unmarshaler.
func (t *pushTime) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if len(b) > 0 && b[0] == '"' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return fmt.Errorf("time %q: want RFC 3339, such as 2026-01-31T12:00:00Z, or Unix milliseconds", text)
		}
		t.ms = at.UnixMilli()
		return nil
	}
	ms, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("time %s: want Unix milliseconds, or RFC 3339 as a text", b)
	}
	t.ms = ms
	return nil
}

// parse reads one event and completes it: a view of quantity 1, now, with an id made of what it says. With an error it
// returns the reason to count it by.
func (p *push) parse(line []byte) (e fusion.Event, reason string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var in pushEvent
	if err := decoder.Decode(&in); err != nil {
		return e, reasonJSON, err
	}
	if decoder.More() {
		return e, reasonJSON, errors.New("more than one value in the line")
	}
	e = fusion.Event{ID: in.ID, User: in.User, Item: in.Item, Behavior: in.Behavior, Value: 1, Time: in.Time.ms, Context: in.Context}
	if e.Behavior == "" {
		e.Behavior = fusion.View
	}
	if in.Value != nil {
		e.Value = *in.Value
	}
	if e.Time == 0 {
		e.Time = p.now().UnixMilli()
	}
	if err := complete(&e); err != nil {
		return e, fusion.Code(err), err
	}
	return e, "", nil
}

// fail answers with an error of the cluster.
func (r *pushed) fail(w http.ResponseWriter, err error) {
	wire.RetryHTTP(w.Header(), err)
	r.answer(w, wire.HTTPStatus(err), wire.Reason(err), err.Error())
}

func (r *pushed) answer(w http.ResponseWriter, code int, reason, message string) {
	if reason != "" {
		r.Error = &pushError{wire.HTTPBody{Code: reason, Message: message, RequestID: w.Header().Get(wire.RequestIDHeader)}, reason}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(r) // a client that has gone needs no answer
}
