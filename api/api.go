package api

import (
	"time"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/telemetry"
)

const (
	// defaultDeadline bounds calls that come without one, so that a lost majority is an answer and not silence.
	defaultDeadline = 15 * time.Second
	// maxBatch bounds one message of events; see EventsService.
	maxBatch = 10_000
	// maxRejections is the number of refused events that are named in an answer.
	maxRejections = 1000
	// listChunk is the number of events in a message.
	listChunk = 150
)

// API serves the public services of one process.
type API struct {
	kithv1.UnimplementedEventsServiceServer
	kithv1.UnimplementedRecommenderServiceServer
	kithv1.UnimplementedModelServiceServer
	kithv1.UnimplementedClusterServiceServer
	kithv1.UnimplementedCatalogServiceServer
	kithv1.UnimplementedErasureServiceServer
	kithv1.UnimplementedSceneServiceServer
	kithv1.UnimplementedInsightServiceServer

	coordinator *coordinator.Coordinator
	router      *coordinator.Router
	peers       *node.Peers
	inflight    *node.Inflight
	gate        *gate         // of queries
	exports     chan struct{} // those under way
	queries     *telemetry.Queries
	events      *telemetry.Events
}

// New returns an API over the parts of a process. inflight bounds the events that its callers have under way; queries and events measure
// what they ask and send.
func New(c *coordinator.Coordinator, peers *node.Peers, inflight *node.Inflight, queries *telemetry.Queries, events *telemetry.Events) *API {
	return &API{coordinator: c, router: c.Router(), peers: peers, inflight: inflight, gate: newGate(), queries: queries, events: events, exports: make(chan struct{}, maxExports)}
}

// Register adds the services to a server.
func (a *API) Register(r grpc.ServiceRegistrar) {
	kithv1.RegisterEventsServiceServer(r, a)
	kithv1.RegisterRecommenderServiceServer(r, a)
	kithv1.RegisterModelServiceServer(r, a)
	kithv1.RegisterClusterServiceServer(r, a)
	kithv1.RegisterCatalogServiceServer(r, a)
	kithv1.RegisterErasureServiceServer(r, a)
	kithv1.RegisterSceneServiceServer(r, a)
	kithv1.RegisterInsightServiceServer(r, a)
}
