package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server"
	"github.com/kith-io/kith/server/clustertest"
)

// TestUpgradeBeforeModels: a build with models is refused by name of the server with an earlier program, goes on when it is upgraded, and keeps earlier programs
// out afterwards.
func TestUpgradeBeforeModels(t *testing.T) {
	t.Parallel()
	earlier := true
	c := clustertest.Start(t, clustertest.Options{Partitions: 1, Configure: func(member int, cfg *server.Config) {
		if named(member, cfg); member == 1 && earlier {
			cfg.Version = "0.0.9"
			server.SpeakAsEarlier(cfg)
		}
	}})
	c.Append(0, alike(5))
	spec := &kithv1.BuildSpec{Models: []*kithv1.ModelSpec{{Kind: "covisit"}}}
	for i := range c.Members {
		_, err := c.Models(i).Build(t.Context(), &kithv1.BuildRequest{Spec: spec})
		if err = wire.FromStatus(err); !errors.Is(err, wire.ErrUpgrade) || !strings.Contains(err.Error(), "on m1 0.0.9:") {
			t.Errorf("build with models through member %d: %v, want ErrUpgrade that names m1 and its version alone", i, err)
		}
	}
	if jobs := c.Members[0].Server.State().Jobs; len(jobs) != 0 {
		t.Errorf("jobs %v, want none", jobs)
	}
	c.Stop(1)
	earlier = false
	c.Run(1)
	c.Ready()
	c.Eventually(func() error { // the coordinator has heard of the new program
		_, err := c.Models(1).Build(t.Context(), &kithv1.BuildRequest{Spec: spec})
		return err
	})
	c.Wait(1, c.Members[1].Server.State().Jobs[0].Job.Id)
	for i := range c.Members {
		c.Eventually(func() error {
			b, err := os.ReadFile(filepath.Join(c.Dir(i), "format"))
			const want = "format: 2\n" // one more than the level of models
			if err == nil && !strings.Contains(string(b), want) {
				err = fmt.Errorf("data folder of member %d says %q, want %q", i, b, want)
			}
			return err
		})
	}
	c.Stop(1)
	earlier = true
	c.Run(1)
	if err := c.Ended(1); !errors.Is(err, wire.ErrUpgrade) || !errors.Is(err, server.ErrRefused) {
		t.Errorf("a member that comes back with an earlier program ends with %v, want ErrRefused and ErrUpgrade", err)
	}
}

// TestUnknownDecisionStops: a server that meets a decision of a newer program in the log ends and says so, and does the same at each start.
func TestUnknownDecisionStops(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{Servers: 1, Partitions: 1})
	entry := protowire.AppendBytes(protowire.AppendTag(nil, 9999, protowire.BytesType), []byte("later"))
	if err := c.Members[0].Server.Write(t.Context(), entry); !errors.Is(err, wire.ErrUpgrade) && !errors.Is(err, context.Canceled) {
		t.Errorf("who wrote the entry is told %v, want ErrUpgrade", err)
	}
	for range 2 {
		if err := c.Ended(0); !errors.Is(err, wire.ErrUpgrade) || !strings.Contains(err.Error(), "upgrade this server") {
			t.Errorf("the server ends with %v, want ErrUpgrade", err)
		}
		c.Run(0)
	}
	_ = c.Ended(0)
}
