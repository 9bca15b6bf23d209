package coordinator

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/node"
	"github.com/kith-io/kith/node/artifact"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/similarity"
)

// defaultK is the length of the neighbor lists when a build does not say: what the literature on item-based
// recommendation found enough [deshpande2004].
const defaultK = 50

// View returns what a node has to know of the state.
func (s *State) View() node.View {
	v := node.View{Epoch: s.Epoch, Replicas: s.Replicas, Formed: s.Formed, Active: s.Active, Applied: s.Applied}
	for _, m := range s.Moves {
		v.Moves = append(v.Moves, node.MoveView{ID: m.Id, Partition: m.Partition, Add: m.Add, Remove: m.Remove, Switched: m.Switched})
	}
	if j := s.Running(); j != nil {
		v.Job = j.Job.Id
	}
	for _, r := range s.Versions {
		view := node.VersionView{Version: r.Version.Version, Partitions: len(s.Replicas), Users: r.Version.Users}
		if j := s.Job(r.Version.Version); j != nil && len(j.Cut) == len(s.Replicas) {
			view.Cut = j.Cut
		}
		// The spec was checked when the job was made.
		view.Similarity, view.Weights, _ = wire.ParseSpec(r.Version.Spec)
		for _, f := range r.Artifacts {
			view.Files = append(view.Files, artifact.Info{Name: f.Name, SizeBytes: f.SizeBytes, Checksum: f.Checksum})
		}
		for _, m := range r.Version.Models {
			view.Models = append(view.Models, node.ModelView{Name: m.Spec.GetName(), Kind: m.Spec.GetKind()})
		}
		v.Versions = append(v.Versions, view)
	}
	return v
}

// Normalize returns a spec with every default spelled out but those of models, so that equal builds have equal specs.
func Normalize(spec *kithv1.BuildSpec) *kithv1.BuildSpec {
	out := &kithv1.BuildSpec{}
	if spec != nil {
		out = &kithv1.BuildSpec{
			Measure: spec.Measure, K: spec.K, Shrinkage: spec.Shrinkage, MinSupport: spec.MinSupport,
			BehaviorWeights: spec.BehaviorWeights, HalfLifeMs: spec.HalfLifeMs, WeightCap: spec.WeightCap, BlockItems: spec.BlockItems,
			Alpha: spec.Alpha, Models: slices.Clone(spec.Models),
		}
	}
	if out.Measure == "" {
		out.Measure = similarity.Cosine.String()
	}
	if out.K == 0 {
		out.K = defaultK
	}
	switch {
	case out.Measure != similarity.AsymmetricCosine.String():
		out.Alpha = nil
	case out.Alpha == nil:
		out.Alpha = proto.Float64(wire.DefaultAlpha)
	}
	if len(out.BehaviorWeights) == 0 {
		out.BehaviorWeights = map[string]float64{}
		for behavior, w := range fusion.DefaultWeights().Behavior {
			out.BehaviorWeights[string(behavior)] = w
		}
	}
	return out
}
