package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kith-io/kith/client"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// fake is a server that does what a test says. Its functions get the number of the call, from 1; nil ones answer well.
type fake struct {
	kithv1.UnimplementedEventsServiceServer
	kithv1.UnimplementedRecommenderServiceServer
	kithv1.UnimplementedClusterServiceServer
	kithv1.UnimplementedCatalogServiceServer

	addr      string
	recommend func(ctx context.Context, call int64) error
	append    func(call int64, events []*kithv1.Event) (*kithv1.AppendResponse, error)
	calls     atomic.Int64 // of recommend, append and delete

	mu      sync.Mutex // guards members
	members []*kithv1.Member
}

// start serves f until the test ends.
func (f *fake) start(t *testing.T, options ...grpc.ServerOption) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = ln.Addr().String()
	s := grpc.NewServer(options...)
	kithv1.RegisterEventsServiceServer(s, f)
	kithv1.RegisterRecommenderServiceServer(s, f)
	kithv1.RegisterClusterServiceServer(s, f)
	kithv1.RegisterCatalogServiceServer(s, f)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }() // received when the test ends
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fake) Recommend(ctx context.Context, _ *kithv1.RecommendRequest) (*kithv1.RecommendResponse, error) {
	n := f.calls.Add(1)
	if f.recommend != nil {
		if err := f.recommend(ctx, n); err != nil {
			return nil, err
		}
	}
	return &kithv1.RecommendResponse{Items: []*kithv1.RecommendedItem{{Item: f.addr}}}, nil
}

func (f *fake) Append(stream grpc.ClientStreamingServer[kithv1.AppendRequest, kithv1.AppendResponse]) error {
	var events []*kithv1.Event
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		events = append(events, m.Events...)
	}
	resp := &kithv1.AppendResponse{Appended: uint64(len(events))}
	if n := f.calls.Add(1); f.append != nil {
		var err error
		if resp, err = f.append(n, events); err != nil {
			return err
		}
	}
	return stream.SendAndClose(resp)
}

func (f *fake) DeleteRecords(context.Context, *kithv1.DeleteRecordsRequest) (*kithv1.DeleteRecordsResponse, error) {
	f.calls.Add(1)
	return nil, refusal(codes.Unavailable, "UNKNOWN_OUTCOME", 0)
}

func (f *fake) Status(context.Context, *kithv1.StatusRequest) (*kithv1.StatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &kithv1.StatusResponse{Members: f.members}, nil
}

func (f *fake) setMembers(members ...*fake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = nil
	for _, m := range members {
		f.members = append(f.members, &kithv1.Member{Id: m.addr, GrpcAddr: m.addr, State: kithv1.MemberState_MEMBER_STATE_ALIVE})
	}
}

// refusal is an error as servers of kith send it.
func refusal(code codes.Code, reason string, retryIn time.Duration) error {
	st, err := status.New(code, "no: "+reason).WithDetails(
		&errdetails.ErrorInfo{Reason: reason, Domain: "kith"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryIn)})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// open returns a client of fakes, which does not look for others unless an option says so.
func open(t *testing.T, nodes []*fake, options ...client.Option) *client.Client {
	t.Helper()
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.addr)
	}
	c, err := client.New(t.Context(), addrs, append([]client.Option{client.WithRefresh(0)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// ask asks for recommendations and returns the address of the node that answered.
func ask(t *testing.T, c *client.Client) string {
	t.Helper()
	r, err := c.Recommend(t.Context(), client.Query{User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	return r.Items[0].Item
}

// eventually waits until f returns nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// encrypted returns the credentials of a server, and settings of clients that trust it and show a certificate.
func encrypted(t *testing.T) (credentials.TransportCredentials, *tls.Config) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	pair := web.TLS.Certificates
	return credentials.NewTLS(&tls.Config{Certificates: pair, ClientCAs: roots, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}),
		&tls.Config{Certificates: pair, RootCAs: roots, MinVersion: tls.VersionTLS13}
}
