package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kith-io/kith/api/rest"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// shop keeps the last request, and answers with some items or err.
type shop struct {
	kithv1.UnimplementedRecommenderServiceServer
	kithv1.UnimplementedCatalogServiceServer
	kithv1.UnimplementedModelServiceServer
	kithv1.UnimplementedEventsServiceServer
	asked proto.Message
	jobs  []*kithv1.Job
	// items are recommended; without any it is i1.
	items []*kithv1.RecommendedItem
	// chunks are what List sends, and err what comes then.
	chunks []*kithv1.ListResponse
	err    error
}

func (s *shop) Recommend(_ context.Context, req *kithv1.RecommendRequest) (*kithv1.RecommendResponse, error) {
	s.asked = req
	items := s.items
	if items == nil {
		items = []*kithv1.RecommendedItem{{Item: "i1", Score: 0.5}}
	}
	return &kithv1.RecommendResponse{Items: items, ModelVersion: 7}, s.err
}

func (s *shop) PutRecord(_ context.Context, req *kithv1.PutRecordRequest) (*kithv1.PutRecordResponse, error) {
	s.asked = req
	return &kithv1.PutRecordResponse{Changed: true}, s.err
}

func (s *shop) PutRecords(_ context.Context, req *kithv1.PutRecordsRequest) (*kithv1.PutRecordsResponse, error) {
	s.asked = req
	return &kithv1.PutRecordsResponse{}, s.err
}

func (s *shop) DeleteRecord(_ context.Context, req *kithv1.DeleteRecordRequest) (*kithv1.DeleteRecordResponse, error) {
	s.asked = req
	return &kithv1.DeleteRecordResponse{}, s.err
}

func (s *shop) Similar(_ context.Context, req *kithv1.SimilarRequest) (*kithv1.SimilarResponse, error) {
	s.asked = req
	return &kithv1.SimilarResponse{}, s.err
}

func (s *shop) Build(_ context.Context, req *kithv1.BuildRequest) (*kithv1.BuildResponse, error) {
	s.asked = req
	return &kithv1.BuildResponse{}, s.err
}

func (s *shop) GetUserFeatures(req *kithv1.GetUserFeaturesRequest, _ grpc.ServerStreamingServer[kithv1.GetUserFeaturesResponse]) error {
	s.asked = req
	return s.err
}

func (s *shop) List(req *kithv1.ListRequest, stream grpc.ServerStreamingServer[kithv1.ListResponse]) error {
	s.asked = req
	for _, chunk := range s.chunks {
		if err := stream.Send(chunk); err != nil {
			return err
		}
	}
	return s.err
}

func (s *shop) WatchJob(_ *kithv1.WatchJobRequest, stream grpc.ServerStreamingServer[kithv1.WatchJobResponse]) error {
	for _, job := range s.jobs {
		if err := stream.Send(&kithv1.WatchJobResponse{Job: job}); err != nil {
			return err
		}
	}
	return s.err
}

// newMux returns a mux with the routes of a shop, which interceptors let through and count.
func newMux(t testing.TB, s *shop, calls *int) *http.ServeMux {
	t.Helper()
	face := rest.New(rest.Config{
		Guard: func(_ string, _ http.ResponseWriter, r *http.Request) (context.Context, bool) {
			return r.Context(), true
		},
		Unary: func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			*calls++
			return handler(ctx, req)
		},
		Stream: func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			*calls++
			return handler(srv, stream)
		},
		MaxRequests: 1,
	})
	kithv1.RegisterRecommenderServiceServer(face, s)
	kithv1.RegisterCatalogServiceServer(face, s)
	kithv1.RegisterModelServiceServer(face, s)
	kithv1.RegisterEventsServiceServer(face, s)
	mux := http.NewServeMux()
	if err := face.Register(mux); err != nil {
		t.Fatal(err)
	}
	return mux
}

func ask(t testing.TB, mux http.Handler, request, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	method, target, _ := strings.Cut(request, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

// TestRequests makes requests of gRPC from paths, queries and bodies.
func TestRequests(t *testing.T) {
	lambda := 0.7
	user := func(key string) *kithv1.RecommendRequest {
		return &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: key}}
	}
	n := user("u1")
	n.N, n.Model, n.IncludeSeen, n.Explain, n.NowUnixMs = 3, kithv1.Model_MODEL_ITEM_KNN, true, true, -5
	n.Diversity = &kithv1.Diversity{Attribute: "brand", Lambda: &lambda}
	n.Filter = &kithv1.Filter{Allow: []string{"a", "b,c"}}
	basket := &kithv1.RecommendRequest{
		Subject: &kithv1.RecommendRequest_Basket{Basket: &kithv1.Basket{Items: []*kithv1.BasketItem{{Item: "i1"}, {Item: "i2", Weight: 2}}}},
		Filter:  &kithv1.Filter{Conditions: []*kithv1.Condition{{Attribute: "category", Test: &kithv1.Condition_AnyOf{AnyOf: &kithv1.TextList{Texts: []string{"shoes"}}}}}},
	}
	record := &kithv1.PutRecordRequest{Kind: kithv1.RecordKind_RECORD_KIND_PRODUCT, Record: &kithv1.Record{
		Key: "a/b ö", Version: 1 << 60, Attributes: []*kithv1.Attribute{{Name: "price", Value: &kithv1.Attribute_Number{Number: 4.5}}},
	}}
	zero := int64(0)
	for _, tt := range []struct {
		request, body string
		want          proto.Message
	}{
		{"GET /v1/users/u1/recommendations", "", user("u1")},
		{"GET /v1/users/..%2F%C3%B6%20%25/recommendations", "", user("../ö %")},
		{"GET /v1/users/u1/recommendations?n=3&model=item_knn&include_seen=true&explain=true&now_unix_ms=-5&diversity.attribute=brand&diversity.lambda=0.7&filter.allow=a&filter.allow=b,c", "", n},
		{"GET /v1/users/u1/recommendations?model=MODEL_ITEM_KNN", "", &kithv1.RecommendRequest{Subject: user("u1").Subject, Model: kithv1.Model_MODEL_ITEM_KNN}},
		{"POST /v1/recommendations", `{"user":"u1"}`, user("u1")},
		{"POST /v1/recommendations", "", &kithv1.RecommendRequest{}},
		{
			"POST /v1/recommendations",
			`{"basket":{"items":[{"item":"i1"},{"item":"i2","weight":2}]},"filter":{"conditions":[{"attribute":"category","any_of":{"texts":["shoes"]}}]}}`, basket,
		},
		{"PUT /v1/records/product/a%2Fb%20%C3%B6", `{"version":"1152921504606846976","attributes":[{"name":"price","number":4.5}]}`, record},
		{"PUT /v1/records/PRODUCT/a%2Fb%20%C3%B6", `{"key":"a/b ö","version":"1152921504606846976","attributes":[{"name":"price","number":4.5}]}`, record},
		{
			"POST /v1/records/user", `{"records":[{"key":"u1"}]}`,
			&kithv1.PutRecordsRequest{Kind: kithv1.RecordKind_RECORD_KIND_USER, Records: []*kithv1.Record{{Key: "u1"}}},
		},
		{"DELETE /v1/records/user/u1", "", &kithv1.DeleteRecordRequest{Kind: kithv1.RecordKind_RECORD_KIND_USER, Key: "u1"}},
		{"DELETE /v1/records/user/u1?version=0", "", &kithv1.DeleteRecordRequest{Kind: kithv1.RecordKind_RECORD_KIND_USER, Key: "u1", Version: &zero}},
		{"GET /v1/items/i1/similar?n=5", "", &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: "i1"}, N: 5}},
		{"GET /v1/users/u1/similar", "", &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_User{User: "u1"}}},
		{"POST /v1/builds", "", &kithv1.BuildRequest{}},
		{"POST /v1/builds", `{"measure":"jaccard","k":20}`, &kithv1.BuildRequest{Spec: &kithv1.BuildSpec{Measure: "jaccard", K: 20}}},
		{"GET /v1/features/users?users=a&users=b&stale=true&options.now_unix_ms=5", "", &kithv1.GetUserFeaturesRequest{
			Users: []string{"a", "b"}, Stale: true, Options: &kithv1.FeatureOptions{NowUnixMs: 5},
		}},
	} {
		s, calls := &shop{}, 0
		w := ask(t, newMux(t, s, &calls), tt.request, tt.body)
		if w.Code != http.StatusOK || calls != 1 || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s, %d calls", tt.request, tt.body, w.Code, w.Body, calls)
			continue
		}
		if diff := cmp.Diff(tt.want, s.asked, protocmp.Transform()); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.request, tt.body, diff)
		}
	}
}

// TestBadRequests are refused before a method is called, with an error that names what is wrong.
func TestBadRequests(t *testing.T) {
	const recommend, post = "GET /v1/users/u1/recommendations", "POST /v1/recommendations"
	for _, tt := range []struct {
		name, request, body string
		header              []string
		status              int
		code, text          string
	}{
		{"an unknown parameter", recommend + "?shade=red", "", nil, 400, "INVALID", `"shade": unknown field "shade"; want one of n, model, `},
		{"an unknown parameter within", recommend + "?filter.shade=red", "", nil, 400, "INVALID", "filter.shade"},
		{"a way through a value", recommend + "?n.x=1", "", nil, 400, "INVALID", "n.x"},
		{"a parameter that the path has", recommend + "?user=u2", "", nil, 400, "INVALID", "the path or the body has it already"},
		{"the other one of two", "GET /v1/items/i1/similar?user=u1", "", nil, 400, "INVALID", "exclude each other"},
		{"two values", recommend + "?n=1&n=2", "", nil, 400, "INVALID", "there 2 times"},
		{"no number", recommend + "?n=many", "", nil, 400, "INVALID", `"many": want a whole number`},
		{"a number below 0", recommend + "?n=-1", "", nil, 400, "INVALID", "0 or more"},
		{"a number too large", recommend + "?n=4294967296", "", nil, 400, "INVALID", "32 bits"},
		{"no truth value", recommend + "?explain=yes", "", nil, 400, "INVALID", "want true or false"},
		{"no such name", recommend + "?model=best", "", nil, 400, "INVALID", "want one of unspecified, item_knn, user_knn"},
		{"a message", recommend + "?filter=x", "", nil, 400, "INVALID", "send it in the body of a POST"},
		{"a list of messages", recommend + "?filter.conditions=x", "", nil, 400, "INVALID", "send it in the body of a POST"},
		{"a map", "GET /v1/trending?weights=x", "", nil, 400, "INVALID", "send it in the body of a POST"},
		{"not UTF-8", "GET /v1/users/%ff/recommendations", "", nil, 400, "INVALID", "not UTF-8"},
		{"not UTF-8 in a parameter", recommend + "?diversity.attribute=%ff", "", nil, 400, "INVALID", "not UTF-8"},
		{"half an escape", recommend + "?n=%zz", "", nil, 400, "INVALID", "query"},
		{"a kind that is none", "GET /v1/records/thing/x", "", nil, 400, "INVALID", `"thing": want one of unspecified, product, user`},
		{"a body where none is", recommend, "{}", nil, 400, "INVALID", "takes no body"},
		{"an unknown field", post, `{"user":"u1","shade":"red"}`, nil, 400, "INVALID", `unknown field "shade"`},
		{"an unknown field within", post, `{"user":"u1","filter":{"shade":"red"}}`, nil, 400, "INVALID", `unknown field "shade"`},
		{"a field twice", post, `{"user":"u1","user":"u2"}`, nil, 400, "INVALID", "user"},
		{"two of one", post, `{"user":"u1","basket":{}}`, nil, 400, "INVALID", "oneof"},
		{"no JSON", post, "user=u1", nil, 400, "INVALID", "body: "},
		{"half of it", post, `{"user":`, nil, 400, "INVALID", "body: "},
		{"a list", post, `[]`, nil, 400, "INVALID", "body: "},
		{"deep", post, strings.Repeat(`{"filter":`, 100), nil, 400, "INVALID", "body: "},
		{"a parameter beside a body", post + "?n=1", `{"user":"u1"}`, nil, 400, "INVALID", "the body has all"},
		{"another key in the body", "PUT /v1/records/product/a", `{"key":"b"}`, nil, 400, "INVALID", `record.key is "a" here and b in the body`},
		{"another kind in the body", "POST /v1/records/product", `{"kind":"RECORD_KIND_USER"}`, nil, 400, "INVALID", "kind"},
		{"nothing to put", "PUT /v1/records/product/a", "", nil, 400, "INVALID", "body is empty"},
		{"another type", post, "{}", []string{"Content-Type", "text/plain"}, 415, "BAD_TYPE", "application/json"},
		{"compressed", post, "{}", []string{"Content-Encoding", "gzip"}, 415, "BAD_ENCODING", "gzip"},
		{"large", post, `{"user":"` + strings.Repeat("x", 5<<20) + `"}`, nil, 413, "TOO_LARGE", "4194304"},
	} {
		s, calls := &shop{}, 0
		w := ask(t, newMux(t, s, &calls), tt.request, tt.body, tt.header...)
		var out struct{ Error wire.HTTPBody }
		err := json.Unmarshal(w.Body.Bytes(), &out)
		if err != nil || w.Code != tt.status || out.Error.Code != tt.code || !strings.Contains(out.Error.Message, tt.text) || s.asked != nil {
			t.Errorf("%s: %d %s, %v, asked %v; want %d %s %q", tt.name, w.Code, w.Body, err, s.asked, tt.status, tt.code, tt.text)
		}
	}
}

// TestErrors tells the errors of methods.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		err         error
		status      int
		code, retry string
	}{
		{fmt.Errorf("%w %q", wire.ErrUnknownUser, "u1"), 404, "UNKNOWN_USER", ""},
		{wire.ErrInvalid, 400, "INVALID", ""},
		{wire.ErrNoModel, 409, "NO_MODEL", ""},
		{wire.ErrErased, 409, "ERASED", ""},
		{wire.ErrForbidden, 403, "FORBIDDEN", ""},
		{&wire.LimitedError{RetryIn: 1500e6}, 429, "RATE_LIMITED", "2"},
		{&wire.OverloadedError{RetryIn: 10e6}, 429, "OVERLOADED", "1"},
		{wire.ErrDiskFull, 507, "DISK_FULL", "1"},
		{wire.ErrNoMajority, 503, "NO_MAJORITY", "1"},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), 504, "DEADLINE_EXCEEDED", ""},
		{errors.New("odd"), 500, "INTERNAL", ""},
	} {
		s, calls := &shop{err: tt.err}, 0
		w := ask(t, newMux(t, s, &calls), "GET /v1/users/u1/recommendations", "")
		var out struct{ Error wire.HTTPBody }
		err := json.Unmarshal(w.Body.Bytes(), &out)
		if err != nil || w.Code != tt.status || out.Error.Code != tt.code || w.Header().Get("Retry-After") != tt.retry || out.Error.Message != tt.err.Error() {
			t.Errorf("%v: %d %s, retry %q, %v; want %d %s %q", tt.err, w.Code, w.Body, w.Header().Get("Retry-After"), err, tt.status, tt.code, tt.retry)
		}
	}
}

// TestAnswers looks at the JSON of answers, whole and in lines.
func TestAnswers(t *testing.T) {
	s, calls := &shop{}, 0
	mux := newMux(t, s, &calls)
	want := `{"items":[{"item":"i1","score":0.5,"source":"MODEL_UNSPECIFIED","contributions":[],"found":[]}],"model":"MODEL_UNSPECIFIED","model_version":"7",` +
		`"fallback_reason":"","partial":false,"stale":false,"scene":"","experiment":"","variant":"","answer_id":"","model_name":""}` + "\n"
	if got := ask(t, mux, "GET /v1/users/u1/recommendations", "").Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	const list, accept, kind = "GET /v1/users/u1/events", "Accept", "application/x-ndjson"
	if got := ask(t, mux, list, "").Body.String(); got != "{\"events\":[]}\n" {
		t.Errorf("no events: %s", got)
	}
	if w := ask(t, mux, list, "", accept, kind); w.Body.Len() > 0 || w.Header().Get("Content-Type") != kind {
		t.Errorf("no lines: %s, %v", w.Body, w.Header())
	}
	s.chunks = []*kithv1.ListResponse{{Events: []*kithv1.Event{{Item: "a"}, {Item: "b"}}}, {Events: []*kithv1.Event{{Item: "c"}}}}
	joined := &kithv1.ListResponse{}
	if w := ask(t, mux, list, ""); protojson.Unmarshal(w.Body.Bytes(), joined) != nil || len(joined.Events) != 3 || joined.Events[2].Item != "c" {
		t.Errorf("joined: %s", w.Body)
	}
	if len(s.chunks[0].Events) != 2 {
		t.Error("the messages of the method were changed")
	}
	w := ask(t, mux, list, "", accept, kind)
	if got := w.Body.String(); strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, "\n") || !w.Flushed {
		t.Errorf("lines: %s", got)
	}

	// An error after a part: the whole is an error, the lines end with one.
	s.err = wire.ErrErased
	if w := ask(t, mux, list, ""); w.Code != http.StatusConflict || strings.Contains(w.Body.String(), "events") {
		t.Errorf("an error at the end: %d %s", w.Code, w.Body)
	}
	w = ask(t, mux, list, "", accept, kind)
	parts := strings.Split(w.Body.String(), "\n")
	if w.Code != http.StatusOK || len(parts) != 4 || !strings.Contains(parts[2], `{"error":{"code":"ERASED"`) {
		t.Errorf("an error after lines: %d %q", w.Code, parts)
	}
	s.chunks = nil
	if w := ask(t, mux, list, "", accept, kind); w.Code != http.StatusConflict || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("an error before lines: %d %v", w.Code, w.Header())
	}

	// What is too much for one object is told, with the remedy.
	s.err = nil
	for range 20 {
		s.chunks = append(s.chunks, &kithv1.ListResponse{Events: []*kithv1.Event{{Item: strings.Repeat("x", 1<<20)}}})
	}
	if w := ask(t, mux, list, ""); w.Code != http.StatusNotAcceptable || !strings.Contains(w.Body.String(), kind) {
		t.Errorf("20 MiB: %d %.200s", w.Code, w.Body)
	}

	// Of a job that is watched the last state is what is joined.
	s.jobs = []*kithv1.Job{{Id: 3, Phase: kithv1.JobPhase_JOB_PHASE_CUT}, {Id: 3, Phase: kithv1.JobPhase_JOB_PHASE_DONE, TasksDone: 4, ModelVersion: 3}}
	job := &kithv1.WatchJobResponse{}
	if w := ask(t, mux, "GET /v1/builds/3/watch", ""); protojson.Unmarshal(w.Body.Bytes(), job) != nil || !proto.Equal(job.Job, s.jobs[1]) {
		t.Errorf("the job: %s", w.Body)
	}
}

// TestLongAnswers asks over a connection for answers one after the other, which share their memory. Long ones are sent whole, not in chunks; one that cannot be
// written is an error and nothing else.
func TestLongAnswers(t *testing.T) {
	s, calls := &shop{}, 0
	server := httptest.NewServer(newMux(t, s, &calls))
	defer server.Close()
	for _, items := range []int{1, 10_000, 20, 0, 2, 1000, 1} {
		s.items = slices.Repeat([]*kithv1.RecommendedItem{{Item: fmt.Sprintf("of %d", items)}}, items)
		status := http.StatusOK
		if items == 0 {
			s.items, status = []*kithv1.RecommendedItem{{Item: "a"}, {Item: "not UTF-8: \xff"}}, http.StatusInternalServerError
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/users/u1/recommendations", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		w, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(w.Body)
		if err := errors.Join(err, w.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if w.StatusCode != status || w.ContentLength != int64(len(body)) || len(w.TransferEncoding) > 0 || strings.Count(string(body), fmt.Sprintf(`"item":"of %d"`, items)) != items {
			t.Errorf("%d items: %d, length %d of %d, encoding %v: %.200s", items, w.StatusCode, w.ContentLength, len(body), w.TransferEncoding, body)
		}
		if items == 0 && !strings.HasPrefix(string(body), `{"error":{`) {
			t.Errorf("not UTF-8: %s", body)
		}
	}
}

// TestTooManyRequests asks while as many requests are under way as may be.
func TestTooManyRequests(t *testing.T) {
	s, calls := &shop{}, 0
	mux := newMux(t, s, &calls)
	inner := http.StatusOK
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = reader(func() { inner = ask(t, mux, "GET /v1/users/u2/recommendations", "").Code })
		mux.ServeHTTP(w, r)
	})
	if w := ask(t, outer, "POST /v1/recommendations", "x"); w.Code != http.StatusOK || inner != http.StatusTooManyRequests {
		t.Errorf("the first %d %s, the one within %d", w.Code, w.Body, inner)
	}
}

// reader is an empty body that calls the function when it is read.
type reader func()

func (r reader) Read([]byte) (int, error) { r(); return 0, io.EOF }
func (r reader) Close() error             { return nil }

// FuzzRequests has any query and body: the answer is 200, or 4xx with an error in JSON; and what was taken is a request that gRPC could send.
func FuzzRequests(f *testing.F) {
	f.Add("n=3&model=item_knn&filter.allow=a", `{"user":"u1","filter":{"conditions":[{"attribute":"price","range":{"min":1}}]}}`)
	f.Add("diversity.lambda=NaN&options.now_unix_ms=9", `{"spec":{},"k":1e3,"behavior_weights":{"view":"Infinity"}}`)
	f.Add("stale=true&keys=%00&version=-1", `{"key":"\ud800","attributes":[{"name":"x","time_unix_ms":"5"}]}`)
	f.Fuzz(func(t *testing.T, query, body string) {
		s, calls := &shop{}, 0
		mux := newMux(t, s, &calls)
		for _, request := range []string{
			"GET /v1/users/u/recommendations", "POST /v1/recommendations", "PUT /v1/records/product/k", "POST /v1/builds", "GET /v1/features/users", "GET /v1/users/u/events",
		} {
			method, path, _ := strings.Cut(request, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
			r.URL.RawQuery = query
			if method != http.MethodGet {
				r = httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
			}
			s.asked = nil
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code == http.StatusOK {
				b, err := proto.Marshal(s.asked)
				if err == nil {
					err = proto.Unmarshal(b, s.asked.ProtoReflect().New().Interface())
				}
				if err != nil {
					t.Errorf("%s?%s %s was taken: %v", request, query, body, err)
				}
				continue
			}
			var out struct{ Error wire.HTTPBody }
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code < 400 || w.Code > 499 || out.Error.Code == "" || out.Error.Message == "" || s.asked != nil {
				t.Errorf("%s?%s %s: %d %s, %v", request, query, body, w.Code, w.Body, err)
			}
		}
	})
}

// nowhere takes an answer.
type nowhere http.Header

func (n nowhere) Header() http.Header       { return http.Header(n) }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// BenchmarkGet is a request for recommendations from the mux to the written answer, of 10 items that are there at once.
func BenchmarkGet(b *testing.B) {
	s, calls := &shop{items: slices.Repeat([]*kithv1.RecommendedItem{{Item: "i1", Score: 0.5}}, 10)}, 0
	mux := newMux(b, s, &calls)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/users/u1/recommendations?n=10", http.NoBody)
	b.ReportAllocs()
	for b.Loop() {
		mux.ServeHTTP(nowhere{}, r)
	}
}
