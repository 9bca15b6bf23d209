package fusion

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeadLettersOfTwoWriters: lines of writers of one file stay whole, however long they are and whenever they get there.
func TestDeadLettersOfTwoWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rejected.jsonl")
	writers := []*DeadLetterWriter{NewDeadLetterWriter(path), NewDeadLetterWriter(path)}
	const each = 400
	for i := range each {
		for k, w := range writers {
			raw := strings.Repeat("x", 50*(i+k)) // beyond the buffer together
			if i == each/2 {
				raw = strings.Repeat("y", 3*deadLetterBuffer) // and alone
			}
			if err := w.Write(DeadLetter{Source: "s", Line: int64(i), Reason: "bad_key", Raw: raw}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range writers {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	for i, line := range lines {
		var d DeadLetter
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatalf("line %d, %.60q...: %v", i+1, line, err)
		}
	}
	if len(lines) != each*len(writers) {
		t.Errorf("%d lines, want %d", len(lines), each*len(writers))
	}
}
