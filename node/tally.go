package node

import (
	"fmt"
	"math"

	"google.golang.org/grpc"

	"github.com/kith-io/kith/experiment"
	"github.com/kith-io/kith/fusion"
	"github.com/kith-io/kith/fusion/view"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// TallyExperiment implements kithv1.PartitionServiceServer. As in Dump the store is left alone while a chunk is counted.
func (n *Node) TallyExperiment(req *kithv1.TallyExperimentRequest, stream grpc.ServerStreamingServer[kithv1.TallyExperimentResponse]) error {
	if req.WindowMs > math.MaxInt64 {
		return fmt.Errorf("%w: a window of %d ms", wire.ErrInvalid, req.WindowMs)
	}
	ctx, prices := stream.Context(), n.viewer(req.Options, false).products
	tally := experiment.NewTally()
	err := n.eachUsers(ctx, req.Partition, req.Epoch, req.Cut, "", func(users []userEvents) error {
		feedback := make([]experiment.Feedback, len(users))
		bought := make([]userEvents, len(users))
		for i := range users {
			view.ByTime(users[i].events)
			feedback[i] = experiment.FeedbackOf(req.Key, users[i].user, users[i].events)
			for _, e := range users[i].events { // other products need not be read
				if (e.Behavior == fusion.Purchase || e.Behavior == fusion.Cancel) && feedback[i].Clicked(e.Item) {
					bought[i].events = append(bought[i].events, e)
				}
			}
		}
		if err := prices.load(ctx, bought); err != nil {
			return err
		}
		for i := range users {
			var purchases []experiment.Purchase
			kept, _ := view.BoughtBy(bought[i].events, prices.find)
			for _, b := range kept {
				if b.Left > 0 {
					purchases = append(purchases, experiment.Purchase{Item: b.Event.Item, Time: b.Event.Time, Revenue: b.Left * b.Price})
				}
			}
			if req.Experiment == "" {
				tally.AddUserOfScenes(&feedback[i], purchases, int64(req.WindowMs), req.SinceUnixMs)
			} else {
				tally.AddUser(req.Experiment, &feedback[i], purchases, int64(req.WindowMs))
			}
		}
		return stream.Send(&kithv1.TallyExperimentResponse{})
	})
	if err != nil {
		return err
	}
	return stream.Send(&kithv1.TallyExperimentResponse{Tally: wire.TallyToProto(tally)})
}
