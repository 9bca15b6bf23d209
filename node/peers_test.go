package node_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// TestConnectsAgainSoon keeps a node away for five minutes, with calls all the time: the pauses between tries to connect must not
// grow with that, or the node would be back and not be reached.
func TestConnectsAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var last time.Time
		var longest time.Duration
		tries := 0
		refuse := func(context.Context, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if tries++; tries > 1 {
				longest = max(longest, time.Since(last))
			}
			last = time.Now()
			return nil, errors.New("refused")
		}
		conn, err := grpc.NewClient("passthrough:///away", append(node.DialOptions(), grpc.WithContextDialer(refuse))...)
		if err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < 5*time.Minute; time.Sleep(100 * time.Millisecond) {
			if _, err := kithv1.NewPartitionServiceClient(conn).Info(t.Context(), &kithv1.InfoRequest{}); err == nil {
				t.Fatal("nobody is there, and answers")
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if longest > 2*time.Second || tries < 100 {
			t.Errorf("%d tries, at most %v apart; want no more than 2s", tries, longest)
		}
	})
}
