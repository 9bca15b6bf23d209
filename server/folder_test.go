package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// TestFolderIsRefused starts servers on data folders that they must not use.
func TestFolderIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"newer": {
			func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "format"), fmt.Appendf(nil, "format: %d\nrooms: 7\n", coordinator.Level+2), 0o600)
			},
			fmt.Sprintf("written by a newer kith: format %d, this one reads up to %d", coordinator.Level+2, coordinator.Level+1),
		},
		"before formats": {
			func(dir string) error { return os.WriteFile(filepath.Join(dir, "node-id"), []byte("n1\n"), 0o600) },
			"before formats had numbers",
		},
		"damaged": {
			func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "format"), []byte("forma\x17: 1\n"), 0o600)
			},
			"is damaged",
		},
		"control group is gone": {
			func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "format"), []byte("format: 1\ncluster: c7\n"), 0o600)
			},
			"belongs to cluster c7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.DefaultConfig()
			cfg.DataDir = t.TempDir()
			cfg.GRPCAddr, cfg.RaftAddr, cfg.GossipAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
			cfg.Logger = slog.New(slog.DiscardHandler)
			if err := tt.prepare(cfg.DataDir); err != nil {
				t.Fatal(err)
			}
			s, err := server.New(cfg)
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), cfg.DataDir) {
				t.Errorf("got %v, want %q and the folder", err, tt.want)
			}
		})
	}
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestClustersStayApart restarts a server of one cluster with the address of another to join. Both say so by name, and each
// stays what it was.
func TestClustersStayApart(t *testing.T) {
	t.Parallel()
	var logs [2]lockedBuffer
	var join []string
	configure := func(which int) func(int, *server.Config) {
		return func(_ int, cfg *server.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&logs[which], nil))
			if which == 1 {
				cfg.Join, cfg.BootstrapExpect = join, 1
			}
		}
	}
	a := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: configure(0)})
	b := clustertest.Start(t, clustertest.Options{Servers: 1, Configure: configure(1)})
	a.Append(0, shopEvents(5, 10, 3, 1))
	b.Append(0, shopEvents(7, 10, 3, 2))
	before := [2]string{a.Members[0].Server.State().Cluster.ClusterId, b.Members[0].Server.State().Cluster.ClusterId}
	b.Stop(0)
	join = []string{a.Members[0].Server.GossipAddr()}
	b.Run(0)
	b.Ready()
	for i, c := range []*clustertest.Cluster{a, b} {
		c.Eventually(func() error {
			if text := logs[i].String(); !strings.Contains(text, "refuse a node of another cluster") || !strings.Contains(text, before[1-i]) {
				return os.ErrNotExist
			}
			return nil
		})
		s := c.Members[0].Server.State()
		if s.Cluster.ClusterId != before[i] || len(s.Members) != 1 {
			t.Errorf("cluster %d is %s with %d members, want %s with 1", i, s.Cluster.ClusterId, len(s.Members), before[i])
		}
		c.Append(0, shopEvents(9, 10, 3, 3))
	}
}
