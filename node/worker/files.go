package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

func fileToProto(f artifact.Info) *kithv1.Artifact {
	return &kithv1.Artifact{Name: f.Name, SizeBytes: f.SizeBytes, Checksum: f.Checksum}
}

func fileFromProto(f *kithv1.Artifact) artifact.Info {
	return artifact.Info{Name: f.GetName(), SizeBytes: f.GetSizeBytes(), Checksum: f.GetChecksum()}
}

// CopyArtifact implements kithv1.ComputeServiceServer. Files that are here already are not fetched again.
func (w *Worker) CopyArtifact(ctx context.Context, req *kithv1.CopyArtifactRequest) (*kithv1.CopyArtifactResponse, error) {
	for _, f := range req.Artifacts {
		want := fileFromProto(f)
		if !artifact.Shared(want.Name) {
			return nil, fmt.Errorf("%w: file name %q", wire.ErrInvalid, want.Name)
		}
		if w.artifacts.Has(req.Version, want) {
			continue
		}
		if err := w.copyFile(ctx, req, want); err != nil {
			return nil, fmt.Errorf("version %d, file %s from node %s: %w", req.Version, want.Name, req.Node, err)
		}
		// Apart from builds, which may keep all turns for long: files are copied for queries, too.
		if err := w.Background(func() error { w.written(req.Version, want.Name); return nil }); err != nil {
			return nil, err
		}
	}
	return &kithv1.CopyArtifactResponse{}, nil
}

// written tells of a file that a build has put here.
func (w *Worker) written(version uint64, name string) {
	if w.cfg.Written != nil && (name == artifact.DictionaryName || artifact.IsLists(name) || artifact.IsRows(name)) {
		w.cfg.Written(version, name)
	}
}

func (w *Worker) copyFile(ctx context.Context, req *kithv1.CopyArtifactRequest, want artifact.Info) error {
	conn, err := w.peers.Conn(ctx, req.Node, req.GrpcAddr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := kithv1.NewComputeServiceClient(conn).FetchArtifact(ctx, &kithv1.FetchArtifactRequest{Version: req.Version, Name: want.Name})
	if err != nil {
		return err
	}
	file, err := w.artifacts.Create(req.Version, want.Name)
	if err != nil {
		return err
	}
	defer file.Abort()
	err = wire.Receive(stream, func(m *kithv1.FetchArtifactResponse) error {
		if err := w.cfg.Room(); err != nil {
			return err
		}
		_, err := file.Write(m.Data)
		return err
	})
	if err != nil {
		return err
	}
	_, err = file.Commit(&want)
	return err
}

// FetchArtifact implements kithv1.ComputeServiceServer.
func (w *Worker) FetchArtifact(req *kithv1.FetchArtifactRequest, stream grpc.ServerStreamingServer[kithv1.FetchArtifactResponse]) (err error) {
	if !artifact.Shared(req.Name) {
		return fmt.Errorf("%w: file name %q", wire.ErrInvalid, req.Name)
	}
	f, err := os.Open(w.artifacts.Path(req.Version, req.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("version %d, file %s on node %s: %w", req.Version, req.Name, w.cfg.NodeID, wire.ErrNoReplica)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		buf := make([]byte, partChunk) // gRPC may hold on to it after Send
		n, err := f.Read(buf)
		if n > 0 {
			if err := stream.Send(&kithv1.FetchArtifactResponse{Data: buf[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
