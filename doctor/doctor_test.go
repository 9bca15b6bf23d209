package doctor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kith-io/kith/doctor"
	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

var now = time.UnixMilli(1_800_000_000_000)

// healthy is the status of three members, two partitions and a new model.
func healthy() *kithv1.StatusResponse {
	s := &kithv1.StatusResponse{
		ClusterId: "c1", Node: "n1", Coordinator: "n1", Epoch: 1, ActiveVersion: 9, Ready: true, ReplicationFactor: 3,
		ActiveCreatedUnixMs: now.Add(-time.Hour).UnixMilli(),
		Jobs:                []*kithv1.Job{{Id: 9, Phase: kithv1.JobPhase_JOB_PHASE_DONE, ModelVersion: 9}},
	}
	for i := range 3 {
		s.Members = append(s.Members, &kithv1.Member{
			Id: fmt.Sprint("n", i+1), GrpcAddr: fmt.Sprintf("h%d:7801", i+1), State: kithv1.MemberState_MEMBER_STATE_ALIVE, Voter: true,
			Replicas: 2, Version: "v1", Answered: true, DiskTotalBytes: 1e12, DiskFreeBytes: 5e11,
		})
	}
	for p := range 2 {
		status := &kithv1.PartitionStatus{
			Partition: uint32(p), Replicas: []string{"n1", "n2", "n3"}, Leader: "n1", AppliedIndex: 5000, Events: 10, Users: 2, ModelIndex: 4000,
		}
		for _, id := range status.Replicas {
			status.ReplicaStatus = append(status.ReplicaStatus, &kithv1.ReplicaStatus{Node: id, Answered: true, AppliedIndex: 5000})
		}
		s.Partitions = append(s.Partitions, status)
	}
	return s
}

// kill makes members dead.
func kill(s *kithv1.StatusResponse, members ...int) {
	for _, m := range members {
		s.Members[m].State, s.Members[m].Answered = kithv1.MemberState_MEMBER_STATE_DEAD, false
	}
}

func TestHealthy(t *testing.T) {
	if got := doctor.Examine(healthy(), nil, now); len(got) != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
}

func TestFindings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *kithv1.StatusResponse)
		silent map[string]string
		codes  string   // of the findings, in order
		want   []string // parts of the first
	}{
		{
			"one member dead", func(s *kithv1.StatusResponse) { kill(s, 1) },
			map[string]string{"h2:7801": "connection refused"},
			"member-dead under-replicated",
			[]string{"Member n2 (h2:7801) is dead (connection refused).", "2 replicas fall behind", "so does the control group", "again on n2"},
		},
		{
			"a majority dead", func(s *kithv1.StatusResponse) {
				kill(s, 1, 2)
				s.Coordinator, s.Partitions[0].Leader, s.Partitions[1].Leader = "", "", ""
			}, nil,
			"no-coordinator no-leader member-dead member-dead under-replicated",
			[]string{"of the 3 voters of the control group 1 is up, and it takes 2", "Down: n2 (h2:7801) and n3 (h3:7801)", "each with the flags"},
		},
		{
			"just elected away", func(s *kithv1.StatusResponse) { s.Coordinator = "" }, nil,
			"no-coordinator",
			[]string{"though of the 3 voters of the control group 3 are up", "An election takes about a second"},
		},
		{
			"one partition without a leader", func(s *kithv1.StatusResponse) { s.Partitions[1].Leader = "" }, nil,
			"no-leader",
			[]string{"Partition 1 has no leader, though most of its replicas are up.", "its users"},
		},
		{
			"one partition lost", func(s *kithv1.StatusResponse) {
				kill(s, 1)
				s.Partitions[1].Leader, s.Partitions[1].Replicas = "", []string{"n2"}
			}, nil,
			"no-leader member-dead under-replicated few-replicas",
			[]string{"Partition 1 cannot elect a leader: too many of its replicas are down, those on n2 (h2:7801).", "kith cluster restore"},
		},
		{
			"silent member", func(s *kithv1.StatusResponse) { s.Members[2].Answered = false }, nil,
			"member-silent under-replicated",
			[]string{"n3 (h3:7801) does not answer the others, though gossip", "--advertise-host"},
		},
		{
			"unreachable from here alone", func(*kithv1.StatusResponse) {},
			map[string]string{"h2:7801": "no such host", "x:1": "no such host"},
			"unreachable",
			[]string{"No server answers at h2:7801 and x:1: no such host.", "--grpc-addr", "firewall"},
		},
		{
			"lagging replica", func(s *kithv1.StatusResponse) {
				s.Partitions[0].ReplicaStatus[2].Lag, s.Partitions[1].ReplicaStatus[2].Lag, s.Partitions[1].ReplicaStatus[1].Lag = 2000, 4321, 1000
			}, nil,
			"replica-lags",
			[]string{"2 replicas on n3 (h3:7801) lag, by up to 4321 entries", "kith cluster partitions"},
		},
		{
			"two voters", func(s *kithv1.StatusResponse) { s.Members[2].Voter = false }, nil,
			"voters",
			[]string{"2 voters, and the cluster 3 living members"},
		},
		{
			"four voters", func(s *kithv1.StatusResponse) {
				m := proto.Clone(s.Members[2]).(*kithv1.Member)
				m.Id, m.GrpcAddr = "n4", "h4:7801"
				s.Members = append(s.Members, m)
			}, nil,
			"voters",
			[]string{"4 voters, an even number", "no more than 3 would"},
		},
		{
			"zones", func(s *kithv1.StatusResponse) {
				for i, zone := range []string{"a", "a", "b"} {
					s.Members[i].Zone = zone
				}
				s.ReplicationFactor, s.Partitions[1].Replicas = 2, []string{"n1", "n2"}
			}, nil,
			"one-zone",
			[]string{`Partition 1 has all its replicas in zone "a", though there are 2 zones.`, "--zone"},
		},
		{
			"versions", func(s *kithv1.StatusResponse) { s.Members[1].Version = "v2" }, nil,
			"versions",
			[]string{"v1 runs on n1 and n3 and v2 runs on n2.", "kith health --ready"},
		},
		{
			"disk nearly full", func(s *kithv1.StatusResponse) { s.Members[0].DiskFreeBytes = 9e9 }, nil,
			"disk",
			[]string{"disk of n1 (h1:7801) is nearly full: 9 GB of 1 TB", "at-risk"},
		},
		{
			"small disk, half full", func(s *kithv1.StatusResponse) {
				s.Members[0].DiskTotalBytes, s.Members[0].DiskFreeBytes = 4e9, 2e9
			}, nil, "", nil,
		},
		{
			"disk full", func(s *kithv1.StatusResponse) { s.Members[0].DiskFreeBytes = 1e8 }, nil,
			"disk",
			[]string{"100 MB of 1 TB", "broken"},
		},
		{"disk not known", func(s *kithv1.StatusResponse) { s.Members[0].DiskTotalBytes, s.Members[0].DiskFreeBytes = 0, 0 }, nil, "", nil},
		{
			"no model", func(s *kithv1.StatusResponse) { s.ActiveVersion, s.ActiveCreatedUnixMs, s.Jobs = 0, 0, nil }, nil,
			"no-model",
			[]string{"no model, though there are 20 events", "kith build --wait"},
		},
		{
			"no events", func(s *kithv1.StatusResponse) {
				s.ActiveVersion, s.Jobs, s.Partitions[0].Events, s.Partitions[1].Events = 0, nil, 0, 0
			}, nil,
			"empty",
			[]string{"advice", "kith ingest"},
		},
		{
			"build failed", func(s *kithv1.StatusResponse) {
				s.Jobs = append([]*kithv1.Job{
					{Id: 13, Phase: kithv1.JobPhase_JOB_PHASE_COUNT}, {Id: 12, Phase: kithv1.JobPhase_JOB_PHASE_FAILED, Error: "no interactions."},
				}, s.Jobs...)
			}, nil,
			"build-failed",
			[]string{"The last build, 12, failed: no interactions.", "kith build --wait"},
		},
		{
			"build canceled", func(s *kithv1.StatusResponse) {
				s.Jobs = append([]*kithv1.Job{{Id: 12, Phase: kithv1.JobPhase_JOB_PHASE_FAILED, Error: "canceled by ada, through node n1"}}, s.Jobs...)
			}, nil, "", nil,
		},
		{
			"build failed before one that did not", func(s *kithv1.StatusResponse) {
				s.Jobs = append(s.Jobs, &kithv1.Job{Id: 3, Phase: kithv1.JobPhase_JOB_PHASE_FAILED})
			}, nil, "", nil,
		},
		{
			"old model", func(s *kithv1.StatusResponse) { s.ActiveCreatedUnixMs = now.Add(-240 * time.Hour).UnixMilli() }, nil,
			"old-model",
			[]string{"10 days old"},
		},
		{
			"old model of the same events", func(s *kithv1.StatusResponse) {
				s.ActiveCreatedUnixMs, s.Partitions[0].ModelIndex, s.Partitions[1].ModelIndex = 1, 5000, 5000
			}, nil, "", nil,
		},
		{
			"clocks", func(s *kithv1.StatusResponse) { s.Members[0].ClockOffsetMs, s.Members[2].ClockOffsetMs = -700, 801 }, nil,
			"clocks",
			[]string{"that of n3 (h3:7801) is 1.501s ahead of that of n1 (h1:7801)", "NTP"},
		},
		{
			"a server of its own", func(s *kithv1.StatusResponse) {
				s.Members, s.ReplicationFactor = s.Members[:1], 1
				for _, p := range s.Partitions {
					p.Replicas, p.ReplicaStatus = p.Replicas[:1], p.ReplicaStatus[:1]
				}
			}, nil,
			"one-replica",
			[]string{"advice", "kith cluster backup"},
		},
		{
			"one server by itself", func(s *kithv1.StatusResponse) {
				s.Members = s.Members[:1]
				for _, p := range s.Partitions {
					p.Leader, p.Replicas, p.ReplicaStatus = s.Members[0].Id, []string{s.Members[0].Id}, p.ReplicaStatus[:1]
				}
			}, nil,
			"one-replica",
			[]string{"advice", "kith cluster backup", "--join"},
		},
		{
			"too few members for the replicas", func(s *kithv1.StatusResponse) { s.ReplicationFactor = 5 }, nil,
			"few-replicas",
			[]string{"All 2 partitions were placed on fewer than 5 members.", "--join"},
		},
		{
			"forming", func(s *kithv1.StatusResponse) {
				members := s.Members[:1]
				proto.Reset(s)
				s.Node, s.Members = "n1", members
			}, nil,
			"forming",
			[]string{"1 member is there", "--bootstrap-expect", "--join"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := healthy()
			tt.change(s)
			got := doctor.Examine(s, tt.silent, now)
			var codes []string
			for _, f := range got {
				codes = append(codes, f.Code)
				if f.What == "" || f.Why == "" || f.Remedy == "" || !strings.HasSuffix(f.What, ".") {
					t.Errorf("not all is said: %+v", f)
				}
			}
			if text := strings.Join(codes, " "); text != tt.codes {
				t.Fatalf("got %s, want %s: %+v", text, tt.codes, got)
			}
			if len(got) == 0 {
				return
			}
			text := fmt.Sprint(got[0].Level, got[0].What, got[0].Why, got[0].Remedy)
			for _, part := range tt.want {
				if !strings.Contains(text, part) {
					t.Errorf("%q lacks %q", text, part)
				}
			}
		})
	}
}

// TestNobodyAnswers has no status at all.
func TestNobodyAnswers(t *testing.T) {
	got := doctor.Examine(nil, map[string]string{"a:1": "connection refused"}, now)
	if len(got) != 1 || got[0].Code != "unreachable" || got[0].Level != doctor.Broken {
		t.Errorf("got %+v, want that the server is unreachable", got)
	}
}
