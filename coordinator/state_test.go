package coordinator_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/kith-io/kith/coordinator"
	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// script applies commands to a state and fails the test at any unexpected refusal.
type script struct {
	t     *testing.T
	state *coordinator.State
	index uint64
}

func newScript(t *testing.T) *script { return &script{t: t, state: &coordinator.State{}} }

func (s *script) try(c *kithv1.ControlCommand) (uint64, error) {
	s.index++
	next, id, err := s.state.Apply(s.index, c)
	if next.Applied != s.index {
		s.t.Fatalf("applied %d, want %d", next.Applied, s.index)
	}
	s.state = next
	return id, err
}

func (s *script) do(c *kithv1.ControlCommand) uint64 {
	s.t.Helper()
	id, err := s.try(c)
	if err != nil {
		s.t.Fatalf("apply %v: %v", c, err)
	}
	return id
}

func initCluster(partitions uint32) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_InitCluster{InitCluster: &kithv1.InitCluster{ClusterId: "c1", Partitions: partitions, ReplicationFactor: 2}}}
}

func shardMap(epoch uint64, partitions ...[]string) *kithv1.ControlCommand {
	m := &kithv1.SetShardMap{Epoch: epoch}
	for _, nodes := range partitions {
		m.Partitions = append(m.Partitions, &kithv1.Replicas{Nodes: nodes})
	}
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetShardMap{SetShardMap: m}}
}

func createJob(measure, request string) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_CreateJob{CreateJob: &kithv1.CreateJob{Spec: &kithv1.BuildSpec{Measure: measure}, RequestId: request}}}
}

func planJob(job uint64, cut ...uint64) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_PlanJob{PlanJob: &kithv1.PlanJob{Job: job, Cut: cut, ReferenceUnixMs: int64(cut[0])}}}
}

// planFor adds to a plan the number of sides and of nodes.
func planFor(c *kithv1.ControlCommand, sides, nodes uint32) *kithv1.ControlCommand {
	c.GetPlanJob().Sides, c.GetPlanJob().Nodes = sides, nodes
	return c
}

func setPhase(job uint64, phase kithv1.JobPhase, tasks uint32) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_SetJobPhase{SetJobPhase: &kithv1.SetJobPhase{Job: job, Phase: phase, TasksTotal: tasks}}}
}

func finish(job uint64, node string, tasks ...uint32) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_FinishTasks{FinishTasks: &kithv1.FinishTasks{Job: job, Node: node, Tasks: tasks}}}
}

func reopen(job uint64, node string) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_ReopenTasks{ReopenTasks: &kithv1.ReopenTasks{Job: job, Node: node}}}
}

func publish(job uint64) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_Publish{Publish: &kithv1.Publish{
		Job: job, Record: &kithv1.VersionRecord{Version: &kithv1.ModelVersion{Version: job}},
	}}}
}

func activate(version uint64) *kithv1.ControlCommand {
	return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_ActivateVersion{ActivateVersion: &kithv1.ActivateVersion{Version: version}}}
}

// ready is a script with two partitions on three nodes.
func ready(t *testing.T) *script {
	s := newScript(t)
	s.do(initCluster(2))
	s.do(shardMap(1, []string{"a", "b"}, []string{"b", "c"}))
	return s
}

func TestClusterIsInitializedOnce(t *testing.T) {
	s := newScript(t)
	if _, err := s.try(shardMap(1, []string{"a"})); err == nil {
		t.Error("a shard map before the cluster was accepted")
	}
	s.do(initCluster(2))
	s.do(initCluster(8))
	if got := s.state.Cluster.Partitions; got != 2 {
		t.Errorf("partitions: got %d, want those of the first command, 2", got)
	}
}

func TestShardMapEpochs(t *testing.T) {
	s := ready(t)
	for _, epoch := range []uint64{0, 1, 3} {
		if _, err := s.try(shardMap(epoch, []string{"a"}, []string{"a"})); !errors.Is(err, wire.ErrStaleEpoch) {
			t.Errorf("epoch %d after 1: got %v, want ErrStaleEpoch", epoch, err)
		}
	}
	if _, err := s.try(shardMap(2, []string{"a"})); err == nil {
		t.Error("a shard map with a partition missing was accepted")
	}
	if _, err := s.try(shardMap(2, []string{"a"}, nil)); err == nil {
		t.Error("a partition without replicas was accepted")
	}
	if s.state.Epoch != 1 || s.state.Replicas[1][1] != "c" {
		t.Errorf("refused commands changed the map: %d %v", s.state.Epoch, s.state.Replicas)
	}
}

func TestOneBuildAtATime(t *testing.T) {
	s := ready(t)
	job := s.do(createJob("cosine", "r1"))
	if again := s.do(createJob("cosine", "r1")); again != job {
		t.Errorf("repeated request: got job %d, want %d", again, job)
	}
	if same := s.do(createJob("cosine", "r2")); same != job {
		t.Errorf("same spec while it runs: got job %d, want %d", same, job)
	}
	if _, err := s.try(createJob("jaccard", "r3")); !errors.Is(err, wire.ErrJobRunning) {
		t.Errorf("another spec: got %v, want ErrJobRunning", err)
	}
	s.do(planFor(planJob(job, 5, 6), 2, 5))
	s.do(planFor(planJob(job, 7, 8), 3, 9)) // a second coordinator plans again
	if got := s.state.Job(job); !cmp.Equal(got.Cut, []uint64{5, 6}) || got.Sides != 2 || got.Nodes != 5 {
		t.Errorf("plan: got cut %v, %d sides and %d nodes, want the first: [5 6], 2 and 5", got.Cut, got.Sides, got.Nodes)
	}
	s.do(setPhase(job, kithv1.JobPhase_JOB_PHASE_FAILED, 0))
	if next := s.do(createJob("jaccard", "r4")); next == job {
		t.Error("a new build after a failed one got its id")
	}
}

func TestTasksAreFinishedOnceAndReopened(t *testing.T) {
	s := ready(t)
	job := s.do(createJob("cosine", "r"))
	s.do(planJob(job, 1, 1))
	s.do(setPhase(job, kithv1.JobPhase_JOB_PHASE_COMPUTE, 6))
	s.do(finish(job, "a", 3, 1))
	s.do(finish(job, "b", 1, 2)) // 1 was finished by a first
	s.do(finish(job, "a", 3))
	if _, err := s.try(finish(job, "a", 6)); err == nil {
		t.Error("a task that does not exist was finished")
	}
	j := s.state.Job(job)
	if j.Job.TasksDone != 3 || !cmp.Equal(j.Finished[0].Tasks, []uint32{1, 3}) || !cmp.Equal(j.Finished[1].Tasks, []uint32{2}) {
		t.Fatalf("got %v", j)
	}
	s.do(setPhase(job, kithv1.JobPhase_JOB_PHASE_MERGE, 0))
	s.do(reopen(job, "a"))
	s.do(reopen(job, "nobody"))
	j = s.state.Job(job)
	if j.Job.TasksDone != 1 || len(j.Finished) != 1 || j.Job.Phase != kithv1.JobPhase_JOB_PHASE_COMPUTE {
		t.Fatalf("after reopening: got %v", j)
	}
	s.do(setPhase(job, kithv1.JobPhase_JOB_PHASE_EXPORT, 0)) // a repeated step does not go back
	if got := s.state.Job(job).Job.Phase; got != kithv1.JobPhase_JOB_PHASE_COMPUTE {
		t.Errorf("phase went back to %v", got)
	}
}

func TestVersionsArePublishedKeptAndSwitched(t *testing.T) {
	s := ready(t)
	var versions []uint64
	for i := range 5 {
		job := s.do(createJob("cosine", fmt.Sprint(i)))
		s.do(publish(job))
		s.do(publish(job)) // again, by a coordinator that did not hear the answer
		s.do(finish(job, "a", 0))
		if s.state.Active != job || s.state.Running() != nil {
			t.Fatalf("active %d after publishing %d; running %v", s.state.Active, job, s.state.Running())
		}
		versions = append(versions, job)
	}
	if got := len(s.state.Versions); got != 3 {
		t.Errorf("kept %d versions, want 3", got)
	}
	if previous := s.do(activate(versions[2])); previous != versions[4] {
		t.Errorf("previous: got %d, want %d", previous, versions[4])
	}
	if _, err := s.try(activate(versions[0])); !errors.Is(err, wire.ErrUnknownVersion) {
		t.Errorf("activate a dropped version: got %v", err)
	}
	// The active version is kept even when it is the oldest: it will not be after the next build.
	job := s.do(createJob("cosine", "last"))
	s.do(publish(job))
	if s.state.Version(job) == nil || s.state.Active != job {
		t.Errorf("version %d was not kept", job)
	}
}

// TestReplicasAgree draws commands that need not make sense: two replicas that apply them come to the same bytes, also
// when one starts again from a snapshot in between, and no state that was seen changes afterwards.
func TestReplicasAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := rapid.SampledFrom([]string{"a", "b", "c"})
		orNone := rapid.SampledFrom([]string{"", "a", "b", "c"})
		job := rapid.Uint64Range(0, 12)
		level := rapid.Uint32Range(0, coordinator.Level)
		command := rapid.Custom(func(t *rapid.T) *kithv1.ControlCommand {
			switch rapid.IntRange(0, 18).Draw(t, "kind") {
			case 10, 11:
				return startMove(rapid.Uint32Range(0, 2).Draw(t, "p"), orNone.Draw(t, "add"), orNone.Draw(t, "remove"))
			case 12, 13:
				step := kithv1.MoveStep(rapid.IntRange(0, 3).Draw(t, "step"))
				return stepMove(job.Draw(t, "move"), rapid.Uint32Range(0, 2).Draw(t, "p"), step) // indexes, as those of jobs
			case 14:
				return setFormed()
			case 15:
				return setIntent(node.Draw(t, "n"), kithv1.MemberIntent(rapid.IntRange(0, 2).Draw(t, "intent")))
			case 17:
				return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_RestartJob{RestartJob: &kithv1.RestartJob{Job: job.Draw(t, "job")}}}
			case 18:
				return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_RaiseLevel{RaiseLevel: &kithv1.RaiseLevel{Level: level.Draw(t, "level")}}}
			case 16:
				return forget(node.Draw(t, "n"), rapid.Bool().Draw(t, "left"))
			case 0:
				return initCluster(rapid.Uint32Range(0, 2).Draw(t, "partitions"))
			case 1:
				return shardMap(rapid.Uint64Range(0, 3).Draw(t, "epoch"), []string{node.Draw(t, "n")}, []string{node.Draw(t, "n")})
			case 2:
				return createJob("cosine", rapid.StringMatching("[a-f]?").Draw(t, "request"))
			case 3:
				return planJob(job.Draw(t, "job"), 1, 2)
			case 4:
				return setPhase(job.Draw(t, "job"), kithv1.JobPhase(rapid.IntRange(0, 8).Draw(t, "phase")), 4)
			case 5:
				return finish(job.Draw(t, "job"), node.Draw(t, "n"), rapid.SliceOfN(rapid.Uint32Range(0, 5), 0, 4).Draw(t, "tasks")...)
			case 6:
				return reopen(job.Draw(t, "job"), node.Draw(t, "n"))
			case 7:
				return publish(job.Draw(t, "job"))
			case 8:
				return activate(job.Draw(t, "job"))
			}
			return &kithv1.ControlCommand{Command: &kithv1.ControlCommand_UpsertMember{UpsertMember: &kithv1.UpsertMember{Member: &kithv1.MemberRecord{Id: node.Draw(t, "n"), Level: level.Draw(t, "level")}}}}
		})
		commands := rapid.SliceOfN(command, 0, 40).Draw(t, "commands")
		restart := rapid.IntRange(0, 40).Draw(t, "restart")
		one, two := &coordinator.State{}, &coordinator.State{}
		for i, c := range commands {
			if i == restart {
				b, err := two.Encode()
				if err != nil {
					t.Fatal(err)
				}
				if two, err = coordinator.DecodeState(b); err != nil {
					t.Fatal(err)
				}
			}
			before, err := one.Encode()
			if err != nil {
				t.Fatal(err)
			}
			old := one
			var id1, id2 uint64
			var err1, err2 error
			one, id1, err1 = one.Apply(uint64(i+1), c)
			two, id2, err2 = two.Apply(uint64(i+1), proto.Clone(c).(*kithv1.ControlCommand))
			if id1 != id2 || fmt.Sprint(err1) != fmt.Sprint(err2) {
				t.Fatalf("command %d %v: (%d, %v) and (%d, %v)", i, c, id1, err1, id2, err2)
			}
			if after, _ := old.Encode(); string(after) != string(before) {
				t.Fatalf("command %d %v changed a state that was seen", i, c)
			}
			checkState(t, one)
		}
		if d := cmp.Diff(one, two, protocmp.Transform()); d != "" {
			t.Fatalf("states differ: %s", d)
		}
	})
}

// checkState holds what must be true of every state.
func checkState(t *rapid.T, s *coordinator.State) {
	for p, nodes := range s.Replicas {
		if len(nodes) == 0 || len(nodes) != len(slices.Compact(slices.Sorted(slices.Values(nodes)))) {
			t.Fatalf("partition %d on %v", p, nodes)
		}
	}
	of := map[uint32]bool{}
	for _, m := range s.Moves {
		if of[m.Partition] {
			t.Fatalf("two moves of partition %d", m.Partition)
		}
		of[m.Partition] = true
		if m.Switched && slices.Contains(s.Replicas[m.Partition], m.Remove) {
			t.Fatalf("partition %d on %v has moved off %s", m.Partition, s.Replicas[m.Partition], m.Remove)
		}
	}
	for _, m := range s.Members {
		if m.Level < s.Level {
			t.Fatalf("member %s of level %d in a cluster of level %d", m.Id, m.Level, s.Level)
		}
	}
	running, last := 0, uint64(0)
	for _, j := range s.Jobs {
		if j.Job.Id <= last || running > 0 {
			t.Fatalf("job %d behind %d, %d of which run", j.Job.Id, last, running)
		}
		last = j.Job.Id
		if !coordinator.Ended(j.Job) {
			running++
		}
		done := 0
		for _, f := range j.Finished {
			done += len(f.Tasks)
		}
		if !coordinator.Ended(j.Job) && uint32(done) != j.Job.TasksDone {
			t.Fatalf("job %d: %d tasks done, %d recorded", j.Job.Id, j.Job.TasksDone, done)
		}
	}
	if running > 1 {
		t.Fatalf("%d jobs run", running)
	}
	if s.Active != 0 && s.Version(s.Active) == nil {
		t.Fatalf("active version %d is not kept", s.Active)
	}
}
