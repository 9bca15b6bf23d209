package telemetry

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// defaultTracePort is where collectors listen for OTLP over gRPC.
const defaultTracePort = "4317"

// retries has gRPC send spans again that a collector could not take for the moment. Its limit of five tries is the most that gRPC makes.
const retries = `{"methodConfig":[{"name":[{"service":"opentelemetry.proto.collector.trace.v1.TraceService"}],
	"retryPolicy":{"maxAttempts":5,"initialBackoff":"1s","maxBackoff":"5s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// otlpClient sends spans by OTLP over gRPC. The clients of OpenTelemetry, for gRPC and for HTTP, would have gRPC take gzip in the whole process: each call
// between servers would say so in a header, and any caller could send compressed messages.
type otlpClient struct {
	conn *grpc.ClientConn
	rpc  collector.TraceServiceClient
}

var _ otlptrace.Client = (*otlpClient)(nil)

// newOTLPClient returns a client of an endpoint, which was validated. It does not wait for it.
func newOTLPClient(endpoint string) (*otlpClient, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	addr, secure := u.Host, insecure.NewCredentials()
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), defaultTracePort)
	}
	if u.Scheme == "https" {
		secure = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(secure), grpc.WithDefaultServiceConfig(retries))
	if err != nil {
		return nil, err
	}
	return &otlpClient{conn, collector.NewTraceServiceClient(conn)}, nil
}

// Start implements otlptrace.Client.
func (c *otlpClient) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *otlpClient) Stop(context.Context) error { return c.conn.Close() }

// UploadTraces implements otlptrace.Client. It waits for a connection until ctx ends.
func (c *otlpClient) UploadTraces(ctx context.Context, spans []*otlp.ResourceSpans) error {
	resp, err := c.rpc.Export(ctx, &collector.ExportTraceServiceRequest{ResourceSpans: spans}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if p := resp.GetPartialSuccess(); p.GetRejectedSpans() > 0 {
		return fmt.Errorf("the collector refused %d spans: %s", p.RejectedSpans, p.ErrorMessage)
	}
	return nil
}
