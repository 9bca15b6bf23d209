package object

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an S3 store of one bucket, "shop", as far as listing and reading go.
type fake struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string][]byte
	signed  string // the key that requests must be signed with, empty for none
	breakAt int    // bytes after which a connection breaks, 0 for never
	gets    int    // requests for objects
	sent    int    // bytes of them
	lists   int
	onGet   func(key string)
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{objects: map[string][]byte{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	for _, name := range []string{
		"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY",
		"AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	return f
}

func (f *fake) put(key, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[key] = []byte(text)
}

func (f *fake) counts() (gets, sent, lists int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gets, f.sent, f.lists
}

func etag(data []byte) string { return fmt.Sprintf("%x", md5.Sum(data)) }

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused</Message></Error>", code) // the client may have gone
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	signed := f.signed
	f.mu.Unlock()
	if authorization := r.Header.Get("Authorization"); signed == "" && authorization != "" || signed != "" && !strings.Contains(authorization, "Credential="+signed+"/") {
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	case bucket != "shop":
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && r.URL.Query().Get("list-type") == "2":
		f.list(w, r)
	default:
		f.get(w, r, key)
	}
}

// list answers with two keys at a time.
func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	type content struct {
		Key          string
		LastModified string
		ETag         string
		Size         int
	}
	answer := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name                  string
		Prefix                string
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
	}{Name: "shop", Prefix: r.URL.Query().Get("prefix")}
	var keys []string
	for key := range f.objects {
		if strings.HasPrefix(key, answer.Prefix) && key > r.URL.Query().Get("continuation-token") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys[:min(2, len(keys))] {
		answer.Contents = append(answer.Contents, content{key, time.Unix(0, 0).UTC().Format(time.RFC3339), `"` + etag(f.objects[key]) + `"`, len(f.objects[key])})
	}
	if answer.IsTruncated = len(keys) > 2; answer.IsTruncated {
		answer.NextContinuationToken = keys[1]
	}
	_ = xml.NewEncoder(w).Encode(answer) // the client may have gone
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	f.gets++
	data, ok := f.objects[key]
	breakAt, onGet := f.breakAt, f.onGet
	f.mu.Unlock()
	if onGet != nil {
		onGet(key)
	}
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	case r.Header.Get("If-Match") != "" && strings.Trim(r.Header.Get("If-Match"), `"`) != etag(data):
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	start := 0
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, err := strconv.Atoi(strings.TrimSuffix(text, "-"))
		if err != nil || from >= len(data) {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		start = from
	}
	w.Header().Set("ETag", `"`+etag(data)+`"`)
	w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(data)-start))
	if start > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(data)-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
	}
	rest := data[start:]
	if breakAt > 0 && len(rest) > breakAt {
		rest = rest[:breakAt] // less than was said: the connection is closed
	}
	n, _ := w.Write(rest) // the client may have gone
	f.mu.Lock()
	f.sent += n
	f.mu.Unlock()
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		panic(err) // memory does not fail
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.String()
}
