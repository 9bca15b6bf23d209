package coordinator

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/node/wire"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

const (
	keptJobs     = 20 // records of ended jobs, enough to see what went wrong lately
	keptVersions = 3  // the active one and two to go back to
)

// errCommand is matched by commands that no state accepts, on both sides of the wire.
var errCommand = fmt.Errorf("%w: control command", wire.ErrInvalid)

// State is the state of the control group at one index of its log. It is immutable: Apply returns the next one, which
// shares with it what did not change. So a reader keeps a consistent view for as long as it likes, and a snapshot costs
// nothing. The records are those of the log; nobody may change them.
type State struct {
	// Cluster is nil before the cluster is initialized.
	Cluster *kithv1.InitCluster
	// Members ascend by id.
	Members []*kithv1.MemberRecord
	// Epoch of the shard map; 0 means that there is none yet.
	Epoch uint64
	// Replicas of each partition, the preferred leader first.
	Replicas [][]string
	// Formed is set when every partition has had a leader: no replica makes a new group after that.
	Formed bool
	// Moves are the changes of replicas that are under way, at most one of each partition.
	Moves []*kithv1.Move
	// Left are the ids of members that have left; they never come back.
	Left []string
	// Jobs ascend by id.
	Jobs []*kithv1.JobRecord
	// Versions ascend by number.
	Versions []*kithv1.VersionRecord
	// Active is the version that answers queries; 0 for none.
	Active uint64
	// Secrets sign receipts of erasures and hash who was erased; nil until they are made.
	Secrets *kithv1.SetSecrets
	// Scenes are the scenes and experiments; nil until there are some.
	Scenes *kithv1.SceneSet
	// Level is that of the control log which all members know: see the constant.
	Level uint32
	// Applied is the index of the log entry that made this state.
	Applied uint64
}

// Apply returns the state after a command at an index of the log, and the id of what the command made or found. It is
// deterministic. A refused command leaves all but Applied as it was; all replicas refuse alike. A command that this program does not know, and others may, leaves
// everything as it was: the error matches consensus.ErrTooNew.
func (s *State) Apply(index uint64, c *kithv1.ControlCommand) (next *State, id uint64, err error) {
	if err := known(c); err != nil {
		return s, 0, err
	}
	n := *s
	n.Applied = index
	switch c := c.GetCommand().(type) {
	case *kithv1.ControlCommand_InitCluster:
		err = n.initCluster(c.InitCluster)
	case *kithv1.ControlCommand_UpsertMember:
		err = n.upsertMember(c.UpsertMember.GetMember())
	case *kithv1.ControlCommand_SetShardMap:
		err = n.setShardMap(c.SetShardMap)
	case *kithv1.ControlCommand_CreateJob:
		id, err = n.createJob(index, c.CreateJob)
	case *kithv1.ControlCommand_PlanJob:
		err = n.planJob(c.PlanJob)
	case *kithv1.ControlCommand_FinishTasks:
		err = n.finishTasks(c.FinishTasks)
	case *kithv1.ControlCommand_ReopenTasks:
		err = n.reopenTasks(c.ReopenTasks)
	case *kithv1.ControlCommand_SetJobPhase:
		err = n.setJobPhase(c.SetJobPhase)
	case *kithv1.ControlCommand_Publish:
		err = n.publish(c.Publish)
	case *kithv1.ControlCommand_ActivateVersion:
		id, err = n.activate(c.ActivateVersion.GetVersion())
	case *kithv1.ControlCommand_DropVersion:
		err = n.dropVersion(c.DropVersion.GetVersion())
	case *kithv1.ControlCommand_StartMove:
		err = n.startMove(index, c.StartMove.GetMove())
	case *kithv1.ControlCommand_StepMove:
		err = n.stepMove(c.StepMove)
	case *kithv1.ControlCommand_SetFormed:
		err = n.setFormed()
	case *kithv1.ControlCommand_SetIntent:
		err = n.setIntent(c.SetIntent)
	case *kithv1.ControlCommand_ForgetMember:
		err = n.forgetMember(c.ForgetMember)
	case *kithv1.ControlCommand_SetSecrets:
		err = n.setSecrets(c.SetSecrets)
	case *kithv1.ControlCommand_SetScenes:
		err = n.setScenes(c.SetScenes)
	case *kithv1.ControlCommand_StartTraining:
		id, err = n.startTraining(c.StartTraining)
	case *kithv1.ControlCommand_NoteTraining:
		err = n.noteTraining(c.NoteTraining)
	case *kithv1.ControlCommand_FinishTraining:
		err = n.finishTraining(c.FinishTraining)
	case *kithv1.ControlCommand_RestartJob:
		id, err = n.restartJob(index, c.RestartJob.GetJob())
	case *kithv1.ControlCommand_RaiseLevel:
		err = n.raiseLevel(c.RaiseLevel.GetLevel())
	default: // in the protocol of this program, and not applied by it
		return s, 0, unknownError{fmt.Sprintf("the command %T", c)}
	}
	if err != nil {
		kept := *s
		kept.Applied = index
		return &kept, 0, err
	}
	return &n, id, nil
}

func (s *State) initCluster(c *kithv1.InitCluster) error {
	if s.Cluster != nil {
		return nil // the first one counts
	}
	if c.ClusterId == "" || c.Partitions == 0 || c.ReplicationFactor == 0 {
		return fmt.Errorf("%w: init with id %q, %d partitions, replication %d", errCommand, c.ClusterId, c.Partitions, c.ReplicationFactor)
	}
	s.Cluster = c
	return nil
}

func (s *State) upsertMember(m *kithv1.MemberRecord) error {
	if m.GetId() == "" {
		return fmt.Errorf("%w: member without id", errCommand)
	}
	if slices.Contains(s.Left, m.Id) {
		return fmt.Errorf("%w: member %s has left", errCommand, m.Id)
	}
	if err := upgrade([]*kithv1.MemberRecord{m}, s.Level, "the cluster"); err != nil {
		return err
	}
	if known := s.Member(m.Id); known != nil && known.Intent != m.Intent {
		m = proto.Clone(m).(*kithv1.MemberRecord)
		m.Intent = known.Intent
	}
	return s.putMember(m)
}

func (s *State) putMember(m *kithv1.MemberRecord) error {
	at, found := slices.BinarySearchFunc(s.Members, m.Id, func(r *kithv1.MemberRecord, id string) int { return cmp.Compare(r.Id, id) })
	if found {
		s.Members = slices.Clone(s.Members)
		s.Members[at] = m
		return nil
	}
	s.Members = slices.Insert(slices.Clone(s.Members), at, m)
	return nil
}

func (s *State) setShardMap(c *kithv1.SetShardMap) error {
	switch {
	case s.Cluster == nil:
		return fmt.Errorf("%w: shard map before the cluster", errCommand)
	case s.Formed:
		return fmt.Errorf("%w: replicas of a cluster that has data change by moves", errCommand)
	case c.Epoch != s.Epoch+1:
		return fmt.Errorf("%w: have %d, got %d", wire.ErrStaleEpoch, s.Epoch, c.Epoch)
	case len(c.Partitions) != int(s.Cluster.Partitions):
		return fmt.Errorf("%w: shard map of %d partitions, want %d", errCommand, len(c.Partitions), s.Cluster.Partitions)
	}
	replicas := make([][]string, len(c.Partitions))
	for p, r := range c.Partitions {
		if len(r.GetNodes()) == 0 {
			return fmt.Errorf("%w: partition %d without replicas", errCommand, p)
		}
		replicas[p] = r.Nodes
	}
	s.Epoch, s.Replicas = c.Epoch, replicas
	return nil
}

func (s *State) createJob(index uint64, c *kithv1.CreateJob) (uint64, error) {
	for _, j := range s.Jobs {
		if c.RequestId != "" && j.RequestId == c.RequestId {
			return j.Job.Id, nil
		}
	}
	if j := s.Running(); j != nil {
		if proto.Equal(j.Job.Spec, c.Spec) {
			return j.Job.Id, nil
		}
		return 0, fmt.Errorf("%w: job %d; wait for it to end", wire.ErrJobRunning, j.Job.Id)
	}
	jobs := s.Jobs
	if len(jobs) >= keptJobs {
		jobs = jobs[len(jobs)-keptJobs+1:]
	}
	s.Jobs = append(slices.Clone(jobs), &kithv1.JobRecord{
		Job: &kithv1.Job{
			Id: index, Spec: c.Spec, Phase: kithv1.JobPhase_JOB_PHASE_CUT, CreatedUnixMs: c.CreatedUnixMs,
		},
		RequestId: c.RequestId,
	})
	return index, nil
}

// edit gives f a copy of a job that has not ended, and keeps the copy.
func (s *State) edit(id uint64, f func(*kithv1.JobRecord) error) error {
	at := slices.IndexFunc(s.Jobs, func(j *kithv1.JobRecord) bool { return j.Job.Id == id })
	if at < 0 {
		return fmt.Errorf("%w: %d", wire.ErrUnknownJob, id)
	}
	if Ended(s.Jobs[at].Job) {
		return nil // late reports about an ended job change nothing
	}
	j := proto.Clone(s.Jobs[at]).(*kithv1.JobRecord)
	if err := f(j); err != nil {
		return err
	}
	s.Jobs = slices.Clone(s.Jobs)
	s.Jobs[at] = j
	return nil
}

func (s *State) planJob(c *kithv1.PlanJob) error {
	return s.edit(c.Job, func(j *kithv1.JobRecord) error {
		if len(j.Cut) > 0 {
			return nil // the first cut counts: steps may have run on it
		}
		if len(c.Cut) != len(s.Replicas) {
			return fmt.Errorf("%w: cut of %d partitions, want %d", errCommand, len(c.Cut), len(s.Replicas))
		}
		j.Cut, j.ReferenceUnixMs, j.Sides, j.Nodes, j.Bounds = c.Cut, c.ReferenceUnixMs, c.Sides, c.Nodes, c.Bounds
		j.Job.Phase = kithv1.JobPhase_JOB_PHASE_COUNT
		return nil
	})
}

func (s *State) finishTasks(c *kithv1.FinishTasks) error {
	return s.edit(c.Job, func(j *kithv1.JobRecord) error {
		done := map[uint32]bool{}
		at := -1
		for i, f := range j.Finished {
			if f.Node == c.Node {
				at = i
			}
			for _, t := range f.Tasks {
				done[t] = true
			}
		}
		if at < 0 {
			at = len(j.Finished)
			j.Finished = append(j.Finished, &kithv1.FinishTasks{Job: c.Job, Node: c.Node})
		}
		for _, t := range c.Tasks {
			if t >= j.Job.TasksTotal {
				return fmt.Errorf("%w: task %d of %d", errCommand, t, j.Job.TasksTotal)
			}
			if !done[t] { // the first report of a task counts
				done[t] = true
				j.Finished[at].Tasks = append(j.Finished[at].Tasks, t)
			}
		}
		slices.Sort(j.Finished[at].Tasks)
		j.Job.TasksDone = uint32(len(done))
		return nil
	})
}

func (s *State) reopenTasks(c *kithv1.ReopenTasks) error {
	return s.edit(c.Job, func(j *kithv1.JobRecord) error {
		for i, f := range j.Finished {
			if f.Node == c.Node {
				j.Job.TasksDone -= uint32(len(f.Tasks))
				j.Finished = slices.Delete(j.Finished, i, i+1)
				if stage(j.Job.Phase) > stage(kithv1.JobPhase_JOB_PHASE_COMPUTE) {
					j.Job.Phase = kithv1.JobPhase_JOB_PHASE_COMPUTE
				}
				break
			}
		}
		return nil
	})
}

func (s *State) setJobPhase(c *kithv1.SetJobPhase) error {
	return s.edit(c.Job, func(j *kithv1.JobRecord) error {
		if c.Phase == kithv1.JobPhase_JOB_PHASE_DONE || c.Phase <= kithv1.JobPhase_JOB_PHASE_CUT {
			return fmt.Errorf("%w: phase %v is not set this way", errCommand, c.Phase)
		}
		if stage(c.Phase) < stage(j.Job.Phase) {
			return nil // a repeated step
		}
		j.Job.Phase = c.Phase
		if c.TasksTotal > 0 {
			j.Job.TasksTotal = c.TasksTotal
		}
		if c.Phase == kithv1.JobPhase_JOB_PHASE_FAILED {
			j.Job.Error, j.Job.EndedUnixMs = c.Error, c.NowUnixMs
			j.Finished, j.Models = nil, nil
			j.Job.Training, j.Job.TrainingPart = "", 0
		}
		return nil
	})
}

func (s *State) publish(c *kithv1.Publish) error {
	v := c.Record.GetVersion()
	if v.GetVersion() != c.Job || c.Job == 0 {
		return fmt.Errorf("%w: version %d of job %d", errCommand, v.GetVersion(), c.Job)
	}
	if s.Version(c.Job) != nil {
		return nil
	}
	err := s.edit(c.Job, func(j *kithv1.JobRecord) error {
		j.Job.Phase, j.Job.ModelVersion, j.Job.EndedUnixMs = kithv1.JobPhase_JOB_PHASE_DONE, c.Job, c.NowUnixMs
		j.Finished, j.Models = nil, nil
		s.Versions = append(slices.Clone(s.Versions), c.Record)
		s.Active = c.Job
		return nil
	})
	if err != nil {
		return err
	}
	for i := 0; len(s.Versions) > keptVersions && i < len(s.Versions); {
		if s.Versions[i].Version.Version == s.Active {
			i++
			continue
		}
		s.Versions = slices.Delete(s.Versions, i, i+1)
	}
	return nil
}

func (s *State) activate(version uint64) (previous uint64, err error) {
	if s.Version(version) == nil {
		return 0, fmt.Errorf("%w: %d", wire.ErrUnknownVersion, version)
	}
	previous, s.Active = s.Active, version
	return previous, nil
}

func (s *State) dropVersion(version uint64) error {
	if version == s.Active {
		return fmt.Errorf("%w: version %d is active", errCommand, version)
	}
	s.Versions = orNil(slices.DeleteFunc(slices.Clone(s.Versions), func(r *kithv1.VersionRecord) bool { return r.Version.Version == version }))
	return nil
}

// Ended reports whether a job is done or has failed.
func Ended(j *kithv1.Job) bool {
	return j.Phase == kithv1.JobPhase_JOB_PHASE_DONE || j.Phase == kithv1.JobPhase_JOB_PHASE_FAILED
}

// Running returns the job that has not ended, or nil. There is at most one.
func (s *State) Running() *kithv1.JobRecord {
	for _, j := range s.Jobs {
		if !Ended(j.Job) {
			return j
		}
	}
	return nil
}

// Job returns the record of a job, by its id or one that it had before it began again, or nil.
func (s *State) Job(id uint64) *kithv1.JobRecord {
	for _, j := range s.Jobs {
		if j.Job.Id == id || slices.Contains(j.Job.EarlierIds, id) {
			return j
		}
	}
	return nil
}

// Version returns the record of a model version, or nil.
func (s *State) Version(version uint64) *kithv1.VersionRecord {
	for _, v := range s.Versions {
		if v.Version.Version == version {
			return v
		}
	}
	return nil
}

// Member returns the record of a member, or nil.
func (s *State) Member(id string) *kithv1.MemberRecord {
	at, found := slices.BinarySearchFunc(s.Members, id, func(r *kithv1.MemberRecord, id string) int { return cmp.Compare(r.Id, id) })
	if !found {
		return nil
	}
	return s.Members[at]
}

// Encode returns the state as a snapshot holds it.
func (s *State) Encode() ([]byte, error) {
	m := &kithv1.ControlState{
		Cluster: s.Cluster, Members: s.Members, Epoch: s.Epoch, Jobs: s.Jobs, Versions: s.Versions,
		ActiveVersion: s.Active, AppliedIndex: s.Applied, Moves: s.Moves, Formed: s.Formed, Left: s.Left,
		Secrets: s.Secrets, Scenes: s.Scenes, Level: s.Level,
	}
	for _, nodes := range s.Replicas {
		m.Partitions = append(m.Partitions, &kithv1.Replicas{Nodes: nodes})
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// DecodeState reads what Encode wrote. Errors match wire.ErrCorrupt, or consensus.ErrTooNew for a state of a level that this program does not know.
func DecodeState(b []byte) (*State, error) {
	m := &kithv1.ControlState{}
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("control state: %w: %w", wire.ErrCorrupt, err)
	}
	if err := knownLevel(m.Level); err != nil {
		return nil, err
	}
	s := &State{
		Cluster: m.Cluster, Members: m.Members, Epoch: m.Epoch, Jobs: m.Jobs, Versions: m.Versions,
		Active: m.ActiveVersion, Applied: m.AppliedIndex, Moves: m.Moves, Formed: m.Formed, Left: m.Left,
		Secrets: m.Secrets, Scenes: m.Scenes, Level: m.Level,
	}
	for _, r := range m.Partitions {
		s.Replicas = append(s.Replicas, r.Nodes)
	}
	return s, nil
}
