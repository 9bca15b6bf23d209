package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kith-io/kith/server/clustertest"
)

// TestDoctor looks at a cluster that is well, and at the same with a member that died.
func TestDoctor(t *testing.T) {
	c := clustertest.Start(t, clustertest.Options{})
	addrs := addrsOf(c)
	c.Append(0, shopHistory(5, 5, 5))
	mustKith(t, "build", "--wait", "--addr", addrs)
	c.Eventually(func() error {
		if got := kith(t, nil, "doctor", "--addr", addrs); got.code != exitOK || !strings.Contains(got.out, "Nothing is wrong: 3 members, 4 partitions with a leader each, 25 events.") {
			return fmt.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
		}
		return nil
	})
	c.Eventually(func() error { // a leader may be on the move, as they even out
		parts := mustJSON[struct{ Partitions []jsonPartition }](t, "cluster", "partitions", "--addr", addrs)
		for _, p := range parts.Partitions {
			if len(p.ReplicaStatus) != 3 || p.Leader == "" {
				return fmt.Errorf("partition %+v, want three replicas and a leader", p)
			}
			for i, r := range p.ReplicaStatus {
				if !r.Answered || r.Node != p.Replicas[i] || r.Index+r.Lag != p.Index {
					return fmt.Errorf("partition %d at %d: replica %+v", p.Partition, p.Index, r)
				}
			}
		}
		return nil
	})
	for _, m := range mustJSON[jsonStatus](t, "status", "--addr", addrs).Members {
		if !m.Answered || m.DataBytes == 0 || m.DiskTotal < m.DiskFree || m.DiskFree == 0 || m.Started == "" || m.ClockOffsetMs < -1000 || m.ClockOffsetMs > 1000 {
			t.Errorf("member %+v", m)
		}
	}

	dead := c.Members[1].Server.ID()
	c.Kill(1)
	c.Eventually(func() error {
		got := kith(t, nil, "doctor", "--addr", addrs, "-o", "json")
		var found jsonDoctor
		if err := json.Unmarshal([]byte(got.out), &found); err != nil {
			t.Fatal(err)
		}
		if got.code != exitError || found.Healthy || !strings.Contains(got.err, "wrong") {
			return fmt.Errorf("exit code %d, %+v, %s", got.code, found, got.err)
		}
		for _, f := range found.Findings {
			if f.Code == "member-dead" && strings.Contains(f.What, dead) && strings.Contains(f.What, "refused") {
				return nil
			}
		}
		return fmt.Errorf("nothing says that %s is dead: %+v", dead, found.Findings)
	})
	if out := mustKith(t, "cluster", "partitions", "--addr", addrs); strings.Count(out, dead+" (no answer)") != 4 {
		t.Errorf("partitions: %s", out)
	}
	if got := kith(t, nil, "health", "--addr", strings.Split(addrs, ",")[1]); got.code != exitError || !strings.Contains(got.err, "does not answer") {
		t.Errorf("health of the dead: exit code %d: %s", got.code, got.err)
	}
}
