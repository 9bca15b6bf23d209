package api

import (
	"google.golang.org/grpc"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Backup implements kithv1.ClusterServiceServer. It has no deadline of its own: what ends it is the caller, or replicas
// that send nothing for a while.
func (a *API) Backup(req *kithv1.BackupRequest, stream grpc.ServerStreamingServer[kithv1.BackupResponse]) error {
	return a.coordinator.Backup(stream.Context(), req.Resume, req.WithRecords, stream.Send)
}
