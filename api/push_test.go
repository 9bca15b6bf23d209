package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
)

// kept is a store that keeps events in memory, and fails after some if err is set.
type kept struct {
	events []fusion.Event
	calls  int
	failAt int
	err    error
}

func (k *kept) store(_ context.Context, events []fusion.Event, bytes int64) (counts coordinator.AppendCounts, err error) {
	if k.calls++; k.err != nil && k.calls >= k.failAt {
		return counts, k.err
	}
	if bytes <= 0 {
		return counts, fmt.Errorf("%d bytes of %d events", bytes, len(events))
	}
	k.events = append(k.events, events...)
	return coordinator.AppendCounts{Appended: uint64(len(events))}, nil
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func post(t *testing.T, store storer, body io.Reader, header ...string) (*http.Response, pushed) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/events", body)
	r.Header.Set("Content-Type", "application/x-ndjson")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	newPush(store, func(string) {}, func() time.Time { return noon }).ServeHTTP(w, r)
	resp := w.Result()
	defer func() { _ = resp.Body.Close() }()
	var out pushed
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return resp, out
}

func TestPush(t *testing.T) {
	k := &kept{}
	resp, out := post(t, k.store, strings.NewReader(`{"user":"u1","item":"i1"}
{"id":"e7","user":"u1","item":"i2","behavior":"purchase","value":3,"time":"2026-01-30T08:00:00.25+01:00","context":{"order":"o1"}}

{"user":"u2","item":"i1","time":1700000000123}
{"user":"","item":"i1"}
{"user":"u2","item":"i1","prise":3}
{"user":"u2","item":"i1","time":"yesterday"}
{"user":"u2","item":"i1"} {"user":"u3","item":"i1"}
[1]
{"user":"u2","item":"i1","value":null,"time":null}`))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %+v", resp.StatusCode, out)
	}
	want := []fusion.Event{
		{User: "u1", Item: "i1", Behavior: fusion.View, Value: 1, Time: noon.UnixMilli()},
		{ID: "e7", User: "u1", Item: "i2", Behavior: fusion.Purchase, Value: 3, Time: 1769756400250, Context: map[string]string{"order": "o1"}},
		{User: "u2", Item: "i1", Behavior: fusion.View, Value: 1, Time: 1700000000123},
		{User: "u2", Item: "i1", Behavior: fusion.View, Value: 1, Time: noon.UnixMilli()},
	}
	for i := range want {
		if want[i].ID == "" {
			want[i].ID = fusion.ContentID(&want[i])
		}
	}
	if d := cmp.Diff(want, k.events); d != "" {
		t.Errorf("stored otherwise (-want +got):\n%s", d)
	}
	if out.Appended != 4 || out.Rejected != 5 || out.Lines != 10 || out.Error != nil {
		t.Errorf("answer %+v", out)
	}
	var lines []string
	for _, r := range out.Rejections {
		lines = append(lines, fmt.Sprint(r.Line, " ", r.Reason))
		if r.Detail == "" {
			t.Errorf("line %d without a detail", r.Line)
		}
	}
	if d := cmp.Diff([]string{"5 no_user", "6 bad_json", "7 bad_json", "8 bad_json", "9 bad_json"}, lines); d != "" {
		t.Errorf("rejections (-want +got):\n%s", d)
	}
}

// TestPushInParts sends more than is stored at a time, compressed, and fails in the middle.
func TestPushInParts(t *testing.T) {
	const n = 3*pushEvents + 17
	var plain, zipped bytes.Buffer
	for i := range n {
		_, _ = fmt.Fprintf(&plain, "{\"user\":\"u%d\",\"item\":\"i\",\"id\":\"e%d\"}\n", i%7, i)
	}
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(plain.Bytes())
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	resp, out := post(t, k.store, &zipped, "Content-Encoding", "gzip", "Content-Type", "application/json; charset=utf-8")
	if resp.StatusCode != http.StatusOK || out.Appended != n || len(k.events) != n || k.calls != 4 {
		t.Errorf("status %d, %+v, %d calls", resp.StatusCode, out, k.calls)
	}
	for _, tt := range []struct {
		err    error
		status int
		reason string
		retry  string
	}{
		{&wire.OverloadedError{RetryIn: 1200 * time.Millisecond}, http.StatusTooManyRequests, "OVERLOADED", "2"},
		{fmt.Errorf("node a: %w", wire.ErrDiskFull), http.StatusInsufficientStorage, "DISK_FULL", "1"},
		{wire.ErrNoMajority, http.StatusServiceUnavailable, "NO_MAJORITY", "1"},
		{context.DeadlineExceeded, http.StatusGatewayTimeout, "DEADLINE_EXCEEDED", ""},
		{io.ErrUnexpectedEOF, http.StatusInternalServerError, "INTERNAL", ""},
	} {
		k := &kept{failAt: 3, err: tt.err}
		resp, out := post(t, k.store, bytes.NewReader(plain.Bytes()))
		if resp.StatusCode != tt.status || out.Error == nil || out.Error.Reason != tt.reason || resp.Header.Get("Retry-After") != tt.retry {
			t.Errorf("%v: status %d, %+v, retry %q", tt.err, resp.StatusCode, out.Error, resp.Header.Get("Retry-After"))
		}
		if out.Appended != 2*pushEvents || out.Lines != 2*pushEvents {
			t.Errorf("%v: %d stored of %d lines; want what was stored before", tt.err, out.Appended, out.Lines)
		}
	}
}

func TestPushRefuses(t *testing.T) {
	long := `{"user":"u","item":"` + strings.Repeat("x", maxLine) + `"}`
	for _, tt := range []struct {
		name   string
		body   string
		header []string
		status int
		reason string
	}{
		{"a form", "user=u1", []string{"Content-Type", "application/x-www-form-urlencoded"}, http.StatusUnsupportedMediaType, "BAD_TYPE"},
		{"text, as another site may send it", "{}", []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType, "BAD_TYPE"},
		{"an unknown encoding", "{}", []string{"Content-Encoding", "br"}, http.StatusUnsupportedMediaType, "BAD_ENCODING"},
		{"no gzip", "{}", []string{"Content-Encoding", "gzip"}, http.StatusBadRequest, "BAD_BODY"},
		{"a long line", `{"user":"u","item":"i"}` + "\n" + long, nil, http.StatusBadRequest, "BAD_BODY"},
		{"nothing good", "garbage\n\x00\xff\n", nil, http.StatusUnprocessableEntity, "ALL_REJECTED"},
	} {
		k := &kept{}
		resp, out := post(t, k.store, strings.NewReader(tt.body), tt.header...)
		if resp.StatusCode != tt.status || out.Error == nil || out.Error.Reason != tt.reason || out.Error.Message == "" {
			t.Errorf("%s: status %d, %+v", tt.name, resp.StatusCode, out.Error)
		}
		if want := strings.Count(tt.name, "long"); len(k.events) != want || out.Appended != uint64(want) {
			t.Errorf("%s: %d events stored, %d told; want %d", tt.name, len(k.events), out.Appended, want)
		}
	}
	if resp, out := post(t, (&kept{}).store, strings.NewReader("")); resp.StatusCode != http.StatusOK || out.Lines != 0 {
		t.Errorf("nothing: status %d, %+v", resp.StatusCode, out)
	}
}

// TestPushBounds has as many requests under way as may be, and one more.
func TestPushBounds(t *testing.T) {
	p := &push{store: (&kept{}).store, now: time.Now, slots: make(chan struct{}, 1)}
	p.slots <- struct{}{}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/events", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	p.events(w, r)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}

func FuzzPush(f *testing.F) {
	f.Add([]byte(`{"user":"u1","item":"i1","time":"2026-01-30T08:00:00Z","value":2}` + "\n{}"))
	f.Add([]byte("\xff\n\n{\"time\":1e5}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		k := &kept{}
		_, out := post(t, k.store, bytes.NewReader(body))
		if uint64(len(k.events)) != out.Appended {
			t.Fatalf("%d events stored, %d told", len(k.events), out.Appended)
		}
		for i := range k.events {
			if err := k.events[i].Validate(); err != nil || k.events[i].ID == "" {
				t.Fatalf("event %+v: %v", k.events[i], err)
			}
		}
	})
}
