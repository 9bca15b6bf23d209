package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/auth"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

const restDoc = "../docs/rest.md"

// words are those of a command as a shell sees them: separated by spaces unless quoted.
var words = regexp.MustCompile(`'[^']*'|\S+`)

// curl makes the request of a command of curl, with the server in the place of the one in the text.
func curl(t testing.TB, command, addr string) *http.Request {
	t.Helper()
	method, body, target := "", "", ""
	header := http.Header{}
	args := words.FindAllString(command, -1)[1:]
	for i := 0; i < len(args); i++ {
		value := strings.Trim(args[i], "'")
		next := func() string {
			i++
			return strings.Trim(args[i], "'")
		}
		switch value {
		case "-X":
			method = next()
		case "-d":
			body = next()
		case "-H":
			name, text, _ := strings.Cut(next(), ": ")
			header.Set(name, text)
		default:
			target = value
		}
	}
	if method == "" {
		method = http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
	}
	target = strings.Replace(target, "127.0.0.1:7804", addr, 1)
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	req.Header = header
	return req
}

// send returns the answer to a request.
func send(t testing.TB, client *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", req.URL, err)
	}
	return resp, string(text)
}

// TestREST asks one server of a shop over HTTP: what docs/rest.md and the OpenAPI document show, and what gRPC answers, too.
func TestREST(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: func(_ int, cfg *server.Config) { cfg.HTTPAddr = "127.0.0.1:0" }})
	events := shopEvents(40, 30, 20, 1)
	for _, user := range []string{"u1", "u2"} {
		for i := range 5 {
			events = append(events, &kithv1.Event{User: user, Item: fmt.Sprint("i", i+6), Behavior: "purchase", TimeUnixMs: shopNow - 1000})
		}
	}
	c.Append(0, events)
	job := c.Build(0, models(t, "markov", "rules", "clusters"))
	srv := c.Members[0].Server
	addr := srv.HTTPAddr()
	client := &http.Client{}
	t.Cleanup(client.CloseIdleConnections)
	get := func(t *testing.T, target string, header ...string) (*http.Response, string) {
		t.Helper()
		req := curl(t, "curl http://"+addr+target, addr)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return send(t, client, req)
	}
	noBuild := func(t *testing.T) {
		t.Helper()
		if _, err := c.Models(0).Cancel(t.Context(), &kithv1.CancelRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile(restDoc)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := srv.Routes()
	if err != nil {
		t.Fatal(err)
	}

	t.Run("table of docs/rest.md", func(t *testing.T) {
		shown := map[string]string{}
		for line := range strings.Lines(string(doc)) {
			cells := strings.Split(line, "|")
			if len(cells) == 5 {
				for _, pattern := range regexp.MustCompile("`([A-Z]+ /[^`]+)`").FindAllStringSubmatch(cells[1], -1) {
					shown[pattern[1]] = strings.TrimSpace(cells[3])
				}
			}
		}
		for pattern, method := range routes {
			rule, _ := auth.RuleOf(pattern)
			if method != "" {
				rule, _ = auth.RuleOf(method)
			}
			var roles []string
			for _, role := range rule.Roles {
				roles = append(roles, string(role))
			}
			want := strings.Join(roles, ", ")
			switch {
			case rule.Public:
				want = "none needed"
			case len(roles) == 4:
				want = "any"
			}
			if shown[pattern] != want {
				t.Errorf("%s takes %q; the table says %q", pattern, want, shown[pattern])
			}
			delete(shown, pattern)
		}
		for pattern := range shown {
			t.Errorf("the table has %s, which is no route", pattern)
		}
	})

	t.Run("examples of docs/rest.md", func(t *testing.T) {
		n := 0
		for command := range strings.Lines(string(doc)) {
			if !strings.HasPrefix(command, "curl ") {
				continue
			}
			n++
			if resp, text := send(t, client, curl(t, command, addr)); resp.StatusCode != http.StatusOK {
				t.Errorf("%s%d %s", command, resp.StatusCode, text)
			}
		}
		if n < 10 {
			t.Errorf("%d examples", n)
		}
	})

	t.Run("OpenAPI document", func(t *testing.T) {
		noBuild(t)
		resp, text := get(t, "/openapi.json")
		if resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("content type %q", resp.Header.Get("Content-Type"))
		}
		var document struct {
			Paths map[string]map[string]struct {
				RequestBody struct {
					Content map[string]struct{ Example any }
				}
			}
			Components struct{ Schemas map[string]any }
		}
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		for _, ref := range regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllStringSubmatch(text, -1) {
			if document.Components.Schemas[ref[1]] == nil {
				t.Errorf("there is no schema %s", ref[1])
			}
		}
		described := map[string]string{}
		for path, operations := range document.Paths {
			for verb, operation := range operations {
				pattern := strings.ToUpper(verb) + " " + path
				described[pattern] = ""
				for kind, content := range operation.RequestBody.Content {
					body, err := json.Marshal(content.Example)
					if text, ok := content.Example.(string); ok {
						body = []byte(text)
					}
					if err != nil || content.Example == nil {
						t.Errorf("%s has no example, %v", pattern, err)
						continue
					}
					target := strings.NewReplacer("{kind}", "product", "{key}", "p1", "{item}", "i7", "{id}", fmt.Sprint(job.Id)).Replace(path)
					req := curl(t, "curl -X "+strings.ToUpper(verb)+" http://"+addr+target, addr)
					req.Body = io.NopCloser(strings.NewReader(string(body)))
					req.Header.Set("Content-Type", kind)
					if resp, text := send(t, client, req); resp.StatusCode != http.StatusOK {
						t.Errorf("the example of %s: %d %s", pattern, resp.StatusCode, text)
					}
				}
			}
		}
		for pattern := range routes {
			if _, ok := described[pattern]; !ok && strings.Contains(pattern, " /v1/") {
				t.Errorf("the document lacks %s", pattern)
			}
			delete(described, pattern)
		}
		if len(described) > 0 {
			t.Errorf("the document has what is no route: %v", slices.Sorted(maps.Keys(described)))
		}
	})

	t.Run("the same as by gRPC", func(t *testing.T) {
		for _, tt := range []struct {
			target    string
			got, want proto.Message
			ask       func() (proto.Message, error)
		}{
			{"/v1/users/u1/recommendations?n=7&explain=true&diversity.attribute=brand&diversity.max_per_group=3&now_unix_ms=1700003600000", &kithv1.RecommendResponse{}, nil, func() (proto.Message, error) {
				return c.Recommender(0).Recommend(t.Context(), &kithv1.RecommendRequest{
					Subject: &kithv1.RecommendRequest_User{User: "u1"}, N: 7, Explain: true, Diversity: &kithv1.Diversity{Attribute: "brand", MaxPerGroup: 3}, NowUnixMs: shopNow,
				})
			}},
			{"/v1/items/i7/similar?n=4", &kithv1.SimilarResponse{}, nil, func() (proto.Message, error) {
				return c.Recommender(0).Similar(t.Context(), &kithv1.SimilarRequest{Subject: &kithv1.SimilarRequest_Item{Item: "i7"}, N: 4})
			}},
			{"/v1/trending?now_unix_ms=1700003600000", &kithv1.TrendingResponse{}, nil, func() (proto.Message, error) {
				return c.Recommender(0).Trending(t.Context(), &kithv1.TrendingRequest{NowUnixMs: shopNow})
			}},
			{"/v1/users/u2/events", &kithv1.ListResponse{}, nil, func() (proto.Message, error) {
				events, err := list(t, c, 0, "u2")
				return &kithv1.ListResponse{Events: events}, err
			}},
		} {
			_, text := get(t, tt.target)
			want, err := tt.ask()
			if err == nil {
				err = protojson.Unmarshal([]byte(text), tt.got)
			}
			if err != nil || !proto.Equal(tt.got, want) || proto.Size(want) < 20 {
				t.Errorf("%s: %v\ngot  %v\nwant %v", tt.target, err, tt.got, want)
			}
		}
	})

	t.Run("several users", func(t *testing.T) {
		resp, err := c.Recommender(0).RecommendMany(t.Context(), &kithv1.RecommendManyRequest{
			Users: []string{"u2", "nobody", "u1"}, Request: &kithv1.RecommendRequest{N: 3, NoFallback: true},
		})
		if err != nil || len(resp.Answers) != 3 {
			t.Fatalf("%v, %v", resp, err)
		}
		for i, user := range []string{"u2", "nobody", "u1"} {
			a := resp.Answers[i]
			one, err := c.Recommender(0).Recommend(t.Context(), &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: user}, N: 3, NoFallback: true})
			if a.User != user || !proto.Equal(a.Response, one) || (a.Error != nil) != (err != nil) || err != nil && a.Error.Reason != "UNKNOWN_USER" {
				t.Errorf("%s has %v, alone %v, %v", user, a, one, err)
			}
		}
		for name, req := range map[string]*kithv1.RecommendManyRequest{
			"nobody": {}, "twice": {Users: []string{"u1", "u1"}}, "no key": {Users: []string{""}}, "too many": {Users: make([]string, 101)},
			"a user of its own": {Users: []string{"u1"}, Request: &kithv1.RecommendRequest{Subject: &kithv1.RecommendRequest_User{User: "u2"}}},
			"too long":          {Users: []string{"u1"}, Request: &kithv1.RecommendRequest{N: 5000}},
		} {
			if resp, err := c.Recommender(0).RecommendMany(t.Context(), req); err == nil {
				t.Errorf("%s: %v", name, resp)
			}
		}
	})

	t.Run("names of requests", func(t *testing.T) {
		if _, text := send(t, client, curl(t, "curl -X PUT -H 'Content-Type: application/json' -d '{\"version\":-1}' http://"+addr+"/v1/records/user/u1", addr)); strings.Count(text, "invalid argument") != 1 {
			t.Errorf("a record that cannot be stored: %s", text)
		}
		for given, taken := range map[string]bool{"order-17/a": true, "": false, "two words": false, strings.Repeat("x", 65): false, `"`: false} {
			resp, text := get(t, "/v1/records/product/none", "X-Request-Id", given)
			id := resp.Header.Get("X-Request-Id")
			if id == "" || (id == given) != taken || resp.StatusCode != http.StatusNotFound || !strings.Contains(text, `"code":"UNKNOWN_RECORD"`) || !strings.Contains(text, `"request_id":"`+id+`"`) {
				t.Errorf("%q: %d, id %q, %s", given, resp.StatusCode, id, text)
			}
		}
	})

	t.Run("names of the server", func(t *testing.T) {
		for host, ok := range map[string]bool{"localhost": true, "kith.localhost:80": true, "127.0.0.1": true, "[::1]:7": true, "evil.example": false, "evil.example:7804": false, "localhost.evil.example": false} {
			for _, path := range []string{"/v1/status", "/metrics"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = host
				resp, text := send(t, client, req)
				if (resp.StatusCode == http.StatusOK) != ok || !ok && (resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "BAD_HOST")) {
					t.Errorf("%s of %s: %d, %s", path, host, resp.StatusCode, text)
				}
			}
		}
	})

	t.Run("what is no route", func(t *testing.T) {
		for _, tt := range []struct {
			command string
			status  int
			code    string
		}{
			{"curl http://" + addr + "/v1/none", http.StatusNotFound, "NO_ROUTE"},
			{"curl http://" + addr + "/docs/none.js", http.StatusNotFound, "NO_ROUTE"},
			{"curl -X DELETE http://" + addr + "/v1/status", http.StatusMethodNotAllowed, "BAD_METHOD"},
			{"curl -H 'Origin: https://other.example' -X POST http://" + addr + "/v1/builds", http.StatusForbidden, "CROSS_ORIGIN"},
			{"curl -H 'Sec-Fetch-Site: cross-site' -d '{}' http://" + addr + "/v1/events", http.StatusForbidden, "CROSS_ORIGIN"},
		} {
			resp, text := send(t, client, curl(t, tt.command, addr))
			if resp.StatusCode != tt.status || !strings.Contains(text, `{"error":{"code":"`+tt.code+`"`) {
				t.Errorf("%s: %d %s", tt.command, resp.StatusCode, text)
			}
			if allow := resp.Header.Get("Allow"); (tt.status == http.StatusMethodNotAllowed) != (allow == "GET, HEAD") {
				t.Errorf("%s: Allow is %q", tt.command, allow)
			}
		}
	})

	t.Run("page", func(t *testing.T) {
		_, page := get(t, "/docs")
		files := regexp.MustCompile(`(?:src|href)="(/docs/[^"]+)"`).FindAllStringSubmatch(page, -1)
		if len(files) != 2 || strings.Contains(page, "http:") || strings.Contains(page, "https:") || strings.Contains(page, "<style") || strings.Contains(page, " style=") {
			t.Errorf("the page has %v, or something from elsewhere or that its policy forbids:\n%s", files, page)
		}
		for _, file := range files {
			resp, _ := get(t, file[1])
			if policy := resp.Header.Get("Content-Security-Policy"); resp.StatusCode != http.StatusOK || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: %d, policy %q", file[1], resp.StatusCode, policy)
			}
		}
	})

	t.Run("a build in lines", func(t *testing.T) {
		noBuild(t)
		build, err := c.Models(0).Build(t.Context(), &kithv1.BuildRequest{Spec: &kithv1.BuildSpec{Measure: "dice"}})
		if err != nil {
			t.Fatal(err)
		}
		req := curl(t, fmt.Sprintf("curl http://%s/v1/builds/%d/watch", addr, build.Job.Id), addr)
		req.Header.Set("Accept", "application/x-ndjson")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		last := &kithv1.WatchJobResponse{}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if err := protojson.Unmarshal(lines.Bytes(), last); err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
		}
		if last.Job.GetPhase() != kithv1.JobPhase_JOB_PHASE_DONE {
			t.Errorf("the last line is %v", last)
		}
	})

	t.Run("the end of the process breaks requests off", func(t *testing.T) {
		patient := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: clustertest.Patience}}
		defer patient.CloseIdleConnections()
		req := curl(t, "curl -H 'Expect: 100-continue' -X POST http://"+addr+"/v1/recommendations", addr)
		body := &pending{asked: make(chan struct{}), ends: make(chan struct{})}
		req.Body, req.ContentLength = body, 1000
		failed := make(chan error, 1)
		go func() {
			resp, err := patient.Do(req)
			if err == nil {
				err = resp.Body.Close()
			}
			failed <- err
		}()
		<-body.asked // the server reads the body
		c.Kill(0)    // ends only after the request
		_ = body.Close()
		if err := <-failed; err == nil {
			t.Error("the request went well")
		}
	})
}

// pending is a body that does not come until it is closed.
type pending struct {
	asked, ends  chan struct{}
	ask, closing sync.Once
}

// Read implements io.Reader.
func (p *pending) Read([]byte) (int, error) {
	p.ask.Do(func() { close(p.asked) })
	<-p.ends
	return 0, io.ErrClosedPipe
}

// Close implements io.Closer.
func (p *pending) Close() error {
	p.closing.Do(func() { close(p.ends) })
	return nil
}
