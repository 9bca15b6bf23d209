package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInferAndTry proposes a mapping for the files of a shop, and reads them by it, unchanged.
func TestInferAndTry(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"log.csv":      "user,item,action,time\n1,a,view,2024-01-01\n1,b,buy,2024-01-02\n,b,buy,2024-01-02\n",
		"products.csv": "sku,title,price\na,Shoe,1.5\nb,Hat,2\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := mustKith(t, "ingest", "--infer", filepath.Join(dir, "log.csv"), filepath.Join(dir, "products.csv"))
	text = strings.ReplaceAll(text, dir+string(filepath.Separator), "${KITH_DATA}/")
	mapping := filepath.Join(dir, "map.yaml")
	if err := os.WriteFile(mapping, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := mustJSON[jsonIngest](t, "ingest", "--dry-run", "--dead-letters", "none", "--data", dir, "--mapping", mapping)
	if got.Events != 2 || len(got.Sources) != 2 || got.Sources[1].Kept != 2 || got.Sources[0].Reasons["no_user"] != 1 {
		t.Errorf("got %+v by\n%s", got, text)
	}
	// Products count for nothing where only events do.
	if out := mustKith(t, "neighbors", "--dead-letters", "none", "--data", dir, "--mapping", mapping, "--weight", "buy=5", "--out", filepath.Join(dir, "out.csv")); out == "" {
		t.Error("no report of neighbors")
	}
	other := kith(t, nil, "ingest", "--dry-run", "--dead-letters", "none", "--data", filepath.Join(dir, "nowhere"), "--mapping", mapping)
	if other.code != exitError || !strings.Contains(other.err, "nowhere") {
		t.Errorf("another folder: %+v", other)
	}
	if none := kith(t, nil, "ingest", "--infer"); none.code != exitUsage || !strings.Contains(none.err, "Name files") {
		t.Errorf("no files: %+v", none)
	}
}

func TestPrintSchema(t *testing.T) {
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal([]byte(mustKith(t, "ingest", "--schema")), &schema); err != nil || schema.Properties["sources"] == nil {
		t.Errorf("%+v, %v", schema, err)
	}
}
