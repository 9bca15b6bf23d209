package trials_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kith-io/kith/evaluate"
	"github.com/kith-io/kith/evaluate/trials"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a service, and returns a server for Workers, and what its calls end with. wrap, unless nil, changes their streams.
func serve(t *testing.T, s *trials.Service, wrap func(grpc.ServerStream) grpc.ServerStream) (trials.Server, <-chan error) {
	ended := make(chan error, 100)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if wrap != nil {
			stream = wrap(stream)
		}
		err := wire.StreamServer(srv, stream, info, handler)
		ended <- err
		return err
	}), grpc.WaitForHandlers(true))
	s.Register(g)
	done := make(chan error, 1)
	go func() { done <- g.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStreamInterceptor(wire.StreamClient))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		g.Stop()
		if err := errors.Join(<-done, conn.Close()); err != nil {
			t.Error(err)
		}
	})
	return trials.Server{Addr: listener.Addr().String(), Conn: conn}, ended
}

// tastes is an experiment on 20 users of two tastes.
func tastes() evaluate.Experiment {
	t := &fusion.Table{Start: []int64{0}}
	for i := range 10 {
		t.Items = append(t.Items, fmt.Sprintf("i%d", i))
	}
	for u := range 20 {
		t.Users = append(t.Users, fmt.Sprintf("u%02d", u))
		for i := range 10 {
			if i%2 == u%2 || i%5 == u%5 {
				t.Item = append(t.Item, uint32(i))
			}
		}
		t.Start = append(t.Start, int64(len(t.Item)))
	}
	return evaluate.Experiment{Data: t, Split: evaluate.SplitLeaveRandomOut, Models: []string{"itemknn"}, N: []int{3}, Threads: 1, Tuning: &evaluate.Tuning{Trials: 10}}
}

// run makes the experiment with the trials made by servers.
func run(t *testing.T, e evaluate.Experiment, servers ...trials.Server) (*evaluate.Result, error) {
	t.Helper()
	w, err := trials.NewWorkers(t.Context(), e, "1", servers, func(addr string, err error) { t.Log(addr, err) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tuning := *e.Tuning
	tuning.Maker = w
	e.Tuning = &tuning
	return evaluate.Run(t.Context(), e, nil)
}

// brittle is a stream that breaks instead of sending its last message.
type brittle struct {
	grpc.ServerStream
	left atomic.Int64
}

var errBroken = errors.New("the line is cut")

func (b *brittle) SendMsg(m any) error {
	if b.left.Add(-1) < 0 {
		return errBroken
	}
	return b.ServerStream.SendMsg(m)
}

// TestStreamsThatBreak: a server whose streams break goes on if it makes trials between, and is lost otherwise.
func TestStreamsThatBreak(t *testing.T) {
	want, err := evaluate.Run(t.Context(), tastes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	service := func() *trials.Service { return trials.NewService(trials.Config{Node: "n", Version: "1", Threads: 2}) }
	var opened atomic.Int64
	breaking := func(after int64) func(grpc.ServerStream) grpc.ServerStream {
		return func(s grpc.ServerStream) grpc.ServerStream {
			opened.Add(1)
			b := &brittle{ServerStream: s}
			b.left.Store(after)
			return b
		}
	}
	some, _ := serve(t, service(), breaking(4))
	got, err := run(t, tastes(), some)
	if err != nil {
		t.Fatal(err)
	}
	if n := opened.Load(); n < 3 {
		t.Errorf("%d streams of three results each for 10 trials", n)
	}
	ignore := cmp.Options{cmpopts.IgnoreUnexported(evaluate.Result{}), cmpopts.IgnoreFields(evaluate.ModelResult{}, "Seconds"), cmpopts.IgnoreFields(evaluate.Trial{}, "Seconds")}
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Errorf("-here +by streams that break:\n%s", diff)
	}
	none, _ := serve(t, service(), breaking(1))
	if _, err := run(t, tastes(), none); err == nil || !strings.Contains(err.Error(), "no server is left") || !strings.Contains(err.Error(), errBroken.Error()) {
		t.Errorf("by a server that makes no trial: %v", err)
	}
	whole, ended := serve(t, service(), nil)
	if got, err = run(t, tastes(), none, whole); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("a call with nothing under way ended with %v", err)
	}
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Errorf("-here +by another server:\n%s", diff)
	}
}

// TestUnlikeServers: a server of another version, or one that finds another fingerprint, is an error that names it.
func TestUnlikeServers(t *testing.T) {
	for _, c := range []struct{ version, of, want string }{
		{"2", "", "use the same one"},
		{"1", "of other data", "the programs differ"},
	} {
		s, _ := serve(t, trials.NewService(trials.Config{Node: "n", Version: c.version}), nil)
		w, err := trials.NewWorkers(t.Context(), tastes(), "1", []trials.Server{s}, func(addr string, err error) { t.Error(addr, err) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Start(t.Context(), c.of); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.Addr) {
			t.Errorf("version %s: %v, want it to say %q and %s", c.version, err, c.want, s.Addr)
		}
		w.Close()
	}
}

// TestRefusals: what no Workers send is refused, and ends nothing but its stream.
func TestRefusals(t *testing.T) {
	s, _ := serve(t, trials.NewService(trials.Config{Node: "n", Version: "1", Threads: 1, Memory: 1 << 20}), nil)
	// try sends an experiment and a setting, and returns what the server says to them.
	try := func(head *kithv1.TrialExperiment, parts [][]byte, setting *kithv1.TrialSetting) (result *kithv1.TrialResult, err error) {
		stream, err := kithv1.NewTrialServiceClient(s.Conn).Try(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		requests := []*kithv1.TryRequest{{Step: &kithv1.TryRequest_Experiment{Experiment: head}}}
		for _, p := range parts {
			requests = append(requests, &kithv1.TryRequest{Step: &kithv1.TryRequest_Part{Part: p}})
		}
		if setting != nil {
			requests = append(requests, &kithv1.TryRequest{Step: &kithv1.TryRequest_Setting{Setting: setting}})
		} else {
			requests = append(requests, requests[0])
		}
		for _, r := range requests {
			if err := stream.Send(r); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		err = wire.Receive(stream, func(m *kithv1.TryResponse) error {
			result = m.GetResult()
			return nil
		})
		return result, err
	}
	encode := func(change func(e *evaluate.Experiment)) []byte {
		e := tastes()
		change(&e)
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(&e); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := encode(func(*evaluate.Experiment) {})
	setting := &kithv1.TrialSetting{Number: 7, Model: "itemknn(k=3)", Share: 1}
	head := func(data []byte) *kithv1.TrialExperiment {
		return &kithv1.TrialExperiment{Version: "1", SizeBytes: uint64(len(data)), Divisions: 1}
	}
	table := func(change func(t *fusion.Table)) []byte {
		return encode(func(e *evaluate.Experiment) { change(e.Data) })
	}
	for name, c := range map[string]struct {
		head    *kithv1.TrialExperiment
		data    []byte
		setting *kithv1.TrialSetting
		want    string
	}{
		"no head":               {nil, good, setting, "first message"},
		"size that overflows":   {&kithv1.TrialExperiment{Version: "1", SizeBytes: 1 << 63, Divisions: 1}, good, setting, "first message"},
		"divisions":             {&kithv1.TrialExperiment{Version: "1", SizeBytes: 1, Divisions: 1 << 31}, good, setting, "first message"},
		"no memory":             {&kithv1.TrialExperiment{Version: "1", SizeBytes: 1 << 19, Divisions: 2}, good, setting, "--trial-memory-mib"},
		"longer than said":      {&kithv1.TrialExperiment{Version: "1", SizeBytes: 10, Divisions: 1}, good, setting, "a part of"},
		"shorter than said":     {&kithv1.TrialExperiment{Version: "1", SizeBytes: uint64(len(good)) + 1, Divisions: 1}, good, setting, "more than an experiment"},
		"no experiment":         {head([]byte("hello")), []byte("hello"), setting, "cannot be read"},
		"more divisions":        {head(nil), encode(func(e *evaluate.Experiment) { e.Tuning.Folds = 3 }), setting, "divisions"},
		"no tuning":             {head(nil), encode(func(e *evaluate.Experiment) { e.Tuning = nil }), setting, "tuning"},
		"no trials":             {head(nil), encode(func(e *evaluate.Experiment) { e.Tuning.Trials = -1 }), setting, "-1 trials"},
		"unknown split":         {head(nil), encode(func(e *evaluate.Experiment) { e.Split = "axe" }), setting, "axe"},
		"no data":               {head(nil), encode(func(e *evaluate.Experiment) { e.Data = nil }), setting, "no data"},
		"items beyond":          {head(nil), table(func(t *fusion.Table) { t.Item[len(t.Item)-1] = 1 << 20 }), setting, "items of user 19"},
		"items twice":           {head(nil), table(func(t *fusion.Table) { t.Item[1] = t.Item[0] }), setting, "items of user 0"},
		"rows beyond":           {head(nil), table(func(t *fusion.Table) { t.Start[20]++ }), setting, "entries of users"},
		"rows that go back":     {head(nil), table(func(t *fusion.Table) { t.Start[3] = -1 }), setting, "entries of users"},
		"no rows":               {head(nil), table(func(t *fusion.Table) { t.Start = nil }), setting, "entries of users"},
		"keys in disorder":      {head(nil), table(func(t *fusion.Table) { t.Users[0] = "z" }), setting, "keys"},
		"times of few":          {head(nil), table(func(t *fusion.Table) { t.Time = []int64{1} }), setting, "times"},
		"share":                 {head(good), good, &kithv1.TrialSetting{Model: "itemknn", Share: 0.3}, "share of 0.3"},
		"message of no setting": {head(good), good, nil, "without a setting"},
	} {
		if c.head != nil && c.head.SizeBytes == 0 {
			c.head = head(c.data)
		}
		if _, err := try(c.head, [][]byte{c.data}, c.setting); !errors.Is(err, wire.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to be invalid, and to say %q", name, err, c.want)
		}
	}
	result, err := try(head(good), [][]byte{good[:10], good[10:]}, &kithv1.TrialSetting{Number: 8, Model: "luck", Share: 1})
	if err != nil || result.GetNumber() != 8 || !strings.Contains(result.GetFailed(), "luck") {
		t.Errorf("an unknown model: %v, %v; want a trial that failed", result, err)
	}
	if result, err = try(head(good), [][]byte{good[:10], good[10:]}, setting); err != nil || result.GetNumber() != 7 || result.GetFailed() != "" || !(result.GetMean() > 0) {
		t.Errorf("a good trial after all that: %v, %v", result, err)
	}
}

// TestTrialThatTakesServersDown: a trial is not given to a third server when two were lost while they made it, and others are made there.
func TestTrialThatTakesServersDown(t *testing.T) {
	breaking := func(s grpc.ServerStream) grpc.ServerStream {
		b := &brittle{ServerStream: s}
		b.left.Store(1) // to say that it is ready
		return b
	}
	service := func() *trials.Service { return trials.NewService(trials.Config{Node: "n", Version: "1", Threads: 1}) }
	first, _ := serve(t, service(), breaking)
	second, _ := serve(t, service(), breaking)
	third, _ := serve(t, service(), func(s grpc.ServerStream) grpc.ServerStream { return s })
	bench, err := evaluate.NewBench(tastes())
	if err != nil {
		t.Fatal(err)
	}
	w, err := trials.NewWorkers(t.Context(), tastes(), "1", []trials.Server{first, second, third}, func(addr string, err error) { t.Log(addr, err) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Start(t.Context(), bench.Of()); err != nil {
		t.Fatal(err)
	}
	x, err := w.Try(t.Context(), "itemknn(k=3)", 1)
	if err != nil || !strings.Contains(x.Failed, "2 servers") {
		t.Errorf("%+v, %v; want it to have failed", x, err)
	}
	if x, err = w.Try(t.Context(), "itemknn(k=4)", 1); err != nil || x.Failed != "" || x.Figure.Mean == 0 {
		t.Errorf("%+v, %v; want a figure of the third server", x, err)
	}
}
