package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestDemo runs the tour as a new user does, in a pipe.
func TestDemo(t *testing.T) {
	long(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	got := mustKith(t, "demo")
	for _, part := range []string{
		"1. A shop", "2. A cluster of three nodes", "node-3", "3. Ingest", "100,116 events", "4. Build a model",
		"5. Neighbors of", "6. Recommend", "7. Why", "similar customers", "8. Is it any good?", "times as often as popularity",
		"9. Kill the coordinator", "the same scores", "is back in the cluster", "What next",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("the output lacks %q", part)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("the output has escape sequences in a pipe")
	}
	for line := range strings.Lines(got) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 96 {
			t.Errorf("line of %d characters: %s", n, line)
		}
		if strings.HasSuffix(line, " \n") {
			t.Errorf("blanks at the end: %q", line)
		}
	}
	explained(t, got)
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
	if t.Failed() {
		t.Log(got)
	}
}

// explained checks that the parts of the explanation add up to the score, and that it is that of the first rank.
func explained(t *testing.T, out string) {
	t.Helper()
	first := regexp.MustCompile(`(?m)^ +1  (.+?)  +\S+ +([0-9.]+)  hybrid$`).FindStringSubmatch(out)
	_, section, _ := strings.Cut(out, "7. Why ")
	section, _, _ = strings.Cut(section, "8. ")
	total := regexp.MustCompile(`(?m)^ +score +([0-9.]+)$`).FindStringSubmatch(section)
	if first == nil || total == nil || first[2] != total[1] || !strings.HasPrefix(section, first[1]+"?") {
		t.Errorf("first rank %q, explained %q in %s", first, total, section)
	}
}

func TestDemoJSON(t *testing.T) {
	long(t)
	var got jsonDemo
	if err := json.Unmarshal([]byte(mustKith(t, "demo", "-o", "json", "--seed", "2")), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Failover.SameAnswer || got.Failover.Killed == got.Failover.Coordinator || got.Cluster.Events != 100_000 || len(got.Recommend.Items) != 10 {
		t.Errorf("got %+v, %d events on the cluster, %d items", got.Failover, got.Cluster.Events, len(got.Recommend.Items))
	}
}

// TestDemoInterrupted checks that Ctrl-C ends the tour in order, during it and after it: nothing is left behind.
func TestDemoInterrupted(t *testing.T) {
	long(t) // the program is built without the race detector, so that a run with it would show no more
	for _, tt := range []struct {
		args []string
		at   string
		code int
	}{
		{[]string{"demo"}, "3. Ingest", exitInterrupted},
		{[]string{"demo", "--serve"}, "   export KITH_ADDR=", exitOK},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			tmp := t.TempDir()
			cmd := exec.Command(program(t), tt.args...)
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), tt.at) {
					break
				}
			}
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out) // until it ends
			_ = cmd.Wait()                  // the exit code says it
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("%d files are left (%v)", len(left), err)
			}
		})
	}
}
