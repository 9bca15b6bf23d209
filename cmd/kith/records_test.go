package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kith-io/kith/server/clustertest"
)

func TestProductsAndUsers(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	addr := addrsOf(c)
	file := filepath.Join(t.TempDir(), "products.jsonl")
	lines := `{"key":"p1","version":2,"attributes":{"price":9.5,"since":{"time":"2026-11-25T10:00:00Z"},"tags":["a","b"]},"places":{"source":"shop"}}
{"key":"p2","version":1,"attributes":{"new":true}}
`
	if err := os.WriteFile(file, []byte(lines+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 products stored, 0 known or older.\n", "0 products stored, 2 known or older.\n"} {
		if got := mustKith(t, "products", "put", "--addr", addr, file); got != want {
			t.Errorf("put printed %q, want %q", got, want)
		}
	}
	if got := mustKith(t, "products", "get", "--addr", addr, "-o", "json", "p2", "p1"); got != lines {
		t.Errorf("get printed\n%s\nwant\n%s", got, lines)
	}
	all := mustKith(t, "products", "list", "--addr", addr, "-o", "json", "-n", "0")
	if n := strings.Count(all, "\n"); n != 2 || !strings.Contains(all, `"p1"`) || !strings.Contains(all, `"p2"`) {
		t.Errorf("list printed %s", all)
	}
	if one := mustKith(t, "products", "list", "--addr", addr, "-o", "json", "-n", "1"); strings.Count(one, "\n") != 1 {
		t.Errorf("list -n 1 printed %s", one)
	}
	if got := mustKith(t, "products", "get", "--addr", addr, "p1"); !strings.Contains(got, `price=9.5 since=2026-11-25T10:00:00Z tags=["a","b"]`) {
		t.Errorf("get printed %s", got)
	}
	if got := mustKith(t, "products", "delete", "--addr", addr, "p1", "nothing"); got != "1 product deleted, 1 not there or newer.\n" {
		t.Errorf("delete printed %q", got)
	}
	if got := mustKith(t, "products", "list", "--addr", addr, "-o", "json"); strings.Contains(got, `"p1"`) {
		t.Errorf("deleted p1 is listed: %s", got)
	}
	if got := mustKith(t, "status", "--addr", addr); !strings.Contains(got, "1 product, 0 profiles; 0 users erased") {
		t.Errorf("status printed %s", got)
	}
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"key\":\"p9\",\"version\":1}\n{\"key\":\"p9\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := kith(t, nil, "products", "put", "--addr", addr, bad); got.code != exitError || !strings.Contains(got.err, "line 2: invalid record: want a key and a version") {
		t.Errorf("code %d, %s", got.code, got.err)
	}
}

func TestErase(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{Servers: 1})
	addr := addrsOf(c)
	dir := t.TempDir()
	events, profiles, receipt := filepath.Join(dir, "events.csv"), filepath.Join(dir, "users.jsonl"), filepath.Join(dir, "receipt.json")
	if err := os.WriteFile(events, []byte("user,item,behavior,time\nu1,i1,view,2020-01-01\nu1,i2,view,2020-01-02\nu2,i1,view,2020-01-01\nu3,i1,view,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(profiles, []byte(`{"key":"u1","version":1,"attributes":{"city":"Bern"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	mustKith(t, "ingest", "--addr", addr, events)
	mustKith(t, "users", "put", "--addr", addr, profiles)
	mustKith(t, "build", "--addr", addr, "--wait")
	got := kith(t, nil, "erase", "--addr", addr, "--receipt", receipt, "--build", "u1")
	if got.code != exitOK || !strings.Contains(got.err, "Erased: 2 events and a profile.") || !strings.Contains(got.err, "has learned nothing from the user, and is active.") {
		t.Fatalf("code %d, %s", got.code, got.err)
	}
	key := strings.TrimSpace(mustKith(t, "erase", "--addr", addr, "--public-key"))
	if got := mustKith(t, "erase", "--verify", receipt, "--key", key); !strings.Contains(got, "is genuine") || !strings.Contains(got, "2 events, profile true") {
		t.Errorf("verify printed %s", got)
	}
	var status struct {
		Key    string `json:"erasure_public_key"`
		Erased int    `json:"erased_users"`
		Users  int    `json:"users"`
	}
	if err := json.Unmarshal([]byte(mustKith(t, "status", "--addr", addr, "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Key != key || status.Erased != 1 || status.Users != 2 {
		t.Errorf("status %+v, want key %s, one user erased and two left", status, key)
	}
	b, err := os.ReadFile(receipt)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(receipt, []byte(strings.Replace(string(b), `"events": 2`, `"events": 3`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := kith(t, nil, "erase", "--verify", receipt, "--key", key); got.code != exitError || !strings.Contains(got.err, "do not rely on it") {
		t.Errorf("a changed receipt: code %d, %s", got.code, got.err)
	}
	if got := mustKith(t, "ingest", "--addr", addr, events); !strings.Contains(got, "0 new, 2 known, 2 of erased users refused") {
		t.Errorf("ingest printed %s", got)
	}
	if got := mustKith(t, "users", "put", "--addr", addr, profiles); !strings.Contains(got, "1 refused, as their users were erased") {
		t.Errorf("put printed %s", got)
	}
	for _, args := range [][]string{{}, {"a", "b"}, {"--verify", receipt}, {"--key", key, "u1"}, {"--public-key", "u1"}, {"--public-key", "--build"}, {"--verify", receipt, "--key", "abc"}} {
		if got := kith(t, nil, append([]string{"erase"}, args...)...); got.code != exitUsage {
			t.Errorf("%q: code %d, %s", args, got.code, got.err)
		}
	}
}
