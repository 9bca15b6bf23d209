package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/kith-io/kith/catalog"
	"github.com/kith-io/kith/model/train"
)

const someProducts = `{"key":"h1","version":1,"attributes":{"title":"Wool hat for winter","image":"https://example.com/1.png"}}
{"key":"h2","version":1,"attributes":{"title":"Warm wool hat"}}
{"key":"c1","version":1,"attributes":{"title":"Oak chair","tags":["garden"]}}
{"key":"c2","version":1,"attributes":{"title":"Garden chair of oak"}}
{"key":"x","version":1,"attributes":{"price":3}}
`

// TestVectors makes vectors of products here, in both formats, and finds their neighbors.
func TestVectors(t *testing.T) {
	dir := t.TempDir()
	products := writeFile(t, "products.jsonl", someProducts)
	lists := map[string]string{}
	for _, ext := range vectorExtensions {
		file, out := filepath.Join(dir, "v"+ext), filepath.Join(dir, "lists"+ext+".csv")
		if got := mustKith(t, "products", "embed", products, "--out", file, "--dim", "3"); !strings.HasPrefix(got, "4 vectors of 3 numbers for 5 products to ") {
			t.Errorf("embed printed %s", got)
		}
		mustKith(t, "neighbors", "--vectors", file, "-k", "2", "--out", out)
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		lists[ext] = string(b)
	}
	for _, want := range []string{"item,neighbor,rank,score\nh1,h2,1,", "\nh2,h1,1,", "\nc1,c2,1,", "\nc2,c1,1,"} {
		if !strings.Contains(lists[".jsonl"], want) || lists[".jsonl"] != lists[".parquet"] {
			t.Errorf("lists lack %q or differ:\n%s\n%s", want, lists[".jsonl"], lists[".parquet"])
		}
	}
}

// TestEmbedAsAttribute: products are written with what models take for their vector, which is no text when they are embedded again.
func TestEmbedAsAttribute(t *testing.T) {
	products, first, second := writeFile(t, "products.jsonl", someProducts), filepath.Join(t.TempDir(), "1.jsonl"), filepath.Join(t.TempDir(), "2.jsonl")
	mustKith(t, "products", "embed", products, "--dim", "3", "--as", "place", "--out", first)
	mustKith(t, "products", "embed", first, "--dim", "3", "--as", "place", "--out", second)
	var vectors [2][][]float32
	for i, path := range []string{first, second} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			r, err := catalog.ParseJSON([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			p := train.ProductOf(&r)
			at := slices.IndexFunc(p.Attributes, func(a train.Attribute) bool { return a.Name == "place" })
			if r.Key == "x" && at < 0 && r.Version == 1 {
				continue // without a text
			}
			if at < 0 || len(p.Attributes[at].Vector) != 3 || len(p.Attributes) < 2 || r.Version != int64(2+i) {
				t.Fatalf("%s: %+v; want a vector of 3 numbers beside what was there, newer by one", path, r)
			}
			vectors[i] = append(vectors[i], p.Attributes[at].Vector)
		}
	}
	if len(vectors[0]) != 4 || !slices.EqualFunc(vectors[0], vectors[1], slices.Equal) {
		t.Errorf("vectors are %v, and when they are made again %v; want four, the same", vectors[0], vectors[1])
	}
}

// TestEmbedByEndpoint: texts go to an endpoint, those that were asked for alone, and its vectors to the file.
func TestEmbedByEndpoint(t *testing.T) {
	var texts []string
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Input []string `json:"input"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/embeddings" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		texts = append(texts, body.Input...)
		var data []string
		for i, s := range body.Input {
			data = append(data, fmt.Sprintf(`{"index": %d, "embedding": [%d, 0.5]}`, i, len(s)))
		}
		_, _ = fmt.Fprintf(w, `{"data": [%s], "usage": {"total_tokens": 7}}`, strings.Join(data, ","))
	}))
	defer endpoint.Close()
	products, file := writeFile(t, "products.jsonl", someProducts), filepath.Join(t.TempDir(), "v.jsonl")
	args := []string{"products", "embed", products, "--out", file, "--assist-url", endpoint.URL, "--assist-model", "m", "-o", "json"}
	got := kith(t, nil, append(args, "--attributes", "title")...)
	if got.code != exitOK || !strings.Contains(got.err, "1 request, 7 tokens") || !strings.Contains(got.out, `"by": "m"`) {
		t.Errorf("code %d: %s%s", got.code, got.out, got.err)
	}
	b, err := os.ReadFile(file)
	const want = `{"item":"h1","vector":[19,0.5]}
{"item":"h2","vector":[13,0.5]}
{"item":"c1","vector":[9,0.5]}
{"item":"c2","vector":[19,0.5]}
`
	if err != nil || string(b) != want || len(texts) != 4 {
		t.Errorf("wrote %s (%v) for %q, want %s", b, err, texts, want)
	}
	if got := kith(t, nil, append(args, "--assist-requests", "0")...); got.code != exitError || !strings.Contains(got.err, "over the budget of 0 requests") {
		t.Errorf("beyond the budget: code %d: %s", got.code, got.err)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != want {
		t.Errorf("a failure left %s, %v", after, err)
	}
	for _, s := range texts {
		if strings.Contains(s, "garden") || strings.Contains(s, "example.com") {
			t.Errorf("the endpoint got %q", s)
		}
	}
}

// TestNeighborsOfVectors: vectors of others, as they may come, and by each metric.
func TestNeighborsOfVectors(t *testing.T) {
	vectors := writeFile(t, "v.jsonl", `{"item": "a", "vector": [1, 0]}
{"item": "b", "vector": [9, 1]}

{"item": "c", "vector": [1, 1]}
`)
	for metric, want := range map[string]string{"cosine": "b", "dot": "b", "l2": "c"} {
		out := filepath.Join(t.TempDir(), "lists.jsonl")
		mustKith(t, "neighbors", "--vectors", vectors, "--metric", metric, "-k", "1", "--out", out)
		b, err := os.ReadFile(out)
		if err != nil || !strings.HasPrefix(string(b), `{"item":"a","neighbor":"`+want+`","rank":1,`) {
			t.Errorf("%s: %s, %v, want %s first", metric, b, err, want)
		}
	}
	table := mustKith(t, "neighbors", "--vectors", vectors)
	for _, want := range []string{"ITEM  RANK  NEIGHBOR", "a        1  b         0.9939", "cosine lists of 3 vectors of 2 numbers, K=50, exact, in "} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	// Columns may be of doubles, and not required, as other programs write them.
	type optional struct {
		Extra  int64      `parquet:"extra"`
		Vector []*float64 `parquet:"vector,optional,list"`
		Item   *string    `parquet:"item,optional"`
	}
	var rows []optional
	for i := range 300 {
		x, y, name := float64(i%17), float64(i), fmt.Sprintf("i%d", i)
		rows = append(rows, optional{1, []*float64{&x, &y}, &name})
	}
	file := filepath.Join(t.TempDir(), "v.parquet")
	if err := parquet.WriteFile(file, rows); err != nil {
		t.Fatal(err)
	}
	sum := mustJSON[struct {
		Items  int     `json:"items"`
		Recall float64 `json:"recall"`
	}](t, "neighbors", "--vectors", file, "--metric", "l2", "-k", "10", "--approximate", "-o", "json")
	if sum.Items != 300 || sum.Recall < 0.95 || sum.Recall > 1 {
		t.Errorf("%+v, want 300 items and nearly all of the nearest", sum)
	}
	rows[7].Vector[1] = nil
	if err := parquet.WriteFile(file, rows); err != nil {
		t.Fatal(err)
	}
	if got := kith(t, nil, "neighbors", "--vectors", file); got.code != exitError || !strings.Contains(got.err, "row 8") {
		t.Errorf("a null: code %d, %s", got.code, got.err)
	}
	for text, want := range map[string]string{
		"": "no vectors", "{}": "no item", `{"item":"a","vector":[]}`: "0 numbers", `{"item":"a","vector":["x"]}`: "row 1",
		"{\"item\":\"a\",\"vector\":[1]}\n{\"item\":\"a\",\"vector\":[1]}": "twice", "{\"item\":\"a\",\"vector\":[1]}\n{\"item\":\"b\",\"vector\":[1,2]}": "row 2",
	} {
		if got := kith(t, nil, "neighbors", "--vectors", writeFile(t, "bad.jsonl", text)); got.code != exitError || !strings.Contains(got.err, want) {
			t.Errorf("%s: code %d, %s, want %s", text, got.code, got.err, want)
		}
	}
	for part, args := range map[string][]string{
		"--users":   {"neighbors", "--vectors", vectors, "--users"},
		"--input":   {"neighbors", "--vectors", vectors, "--input", "x.csv"},
		"-k is 0":   {"neighbors", "--vectors", vectors, "-k", "0"},
		"--ef":      {"neighbors", "--vectors", vectors, "--ef", "200"},
		"--metric":  {"neighbors", "--input", "x.csv", "--metric", "dot"},
		"--out":     {"products", "embed", vectors},
		".parquet":  {"products", "embed", vectors, "--as", "a", "--out", "v.parquet"},
		"extension": {"products", "embed", vectors, "--out", "v.csv"},
	} {
		checkUsage(t, kith(t, nil, args...), []string{part})
	}
}
