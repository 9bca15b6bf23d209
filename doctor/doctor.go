// Package doctor finds what is wrong with a cluster, from its status alone, and says in plain sentences what to do about it.
package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
)

// Level says how bad a finding is.
type Level string

// Levels, the worst first.
const (
	// Broken means that something does not work now.
	Broken Level = "broken"
	// AtRisk means that all works, and that the next failure, or time, will break something.
	AtRisk Level = "at-risk"
	// Advice is of no harm.
	Advice Level = "advice"
)

// Finding is one thing that is wrong.
type Finding struct {
	// Code is a stable name of the kind of finding.
	Code  string `json:"code"`
	Level Level  `json:"level"`
	// What is wrong, why it matters, and what to do: sentences for people.
	What   string `json:"what"`
	Why    string `json:"why"`
	Remedy string `json:"remedy"`
}

const (
	// lagEntries is how far behind a replica is worth a word: more than comes between the answers of two nodes.
	lagEntries = 1000
	// clockTolerance is less than a person or a half-life would notice.
	clockTolerance = time.Second
	// staleModel is how old a model may be while events come in.
	staleModel = 7 * 24 * time.Hour
	// A disk is nearly full with less than a tenth of it free, or less than nearlyFull where a tenth is more, and
	// full with a fiftieth or almostNothing.
	nearlyFull    = 20 << 30
	almostNothing = 2 << 30
	// usualVoters survive the loss of one.
	usualVoters = 3
)

// Examine returns what is wrong with a cluster whose status is s at the time now, the worst first. silent are the addresses at
// which no server answered the caller, with the reasons; s is nil when none answered. It is a function of its arguments alone.
func Examine(s *kithv1.StatusResponse, silent map[string]string, now time.Time) []Finding {
	if s == nil {
		s = &kithv1.StatusResponse{}
	}
	c := newCluster(s, silent, now)
	checks := []func() []Finding{c.unreachable, c.forming}
	if s.Epoch > 0 {
		checks = []func() []Finding{
			c.coordinator, c.leaders, c.unreachable, c.dead, c.silent, c.replicas, c.lag, c.disks, c.voters, c.zones, c.versions,
			c.clocks, c.build, c.model,
		}
	}
	var out []Finding
	for _, check := range checks {
		out = append(out, check()...)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(rank(a.Level), rank(b.Level)) })
	return out
}

func rank(l Level) int { return slices.Index([]Level{Broken, AtRisk, Advice}, l) }

// unreachable finds addresses at which no server answered the caller, but for those of members that others miss as well.
func (c *cluster) unreachable() []Finding {
	lost := map[string]bool{}
	for _, m := range c.Members {
		lost[m.GrpcAddr] = !c.up(m.Id)
	}
	byReason := map[string][]string{}
	for _, addr := range slices.Sorted(maps.Keys(c.unanswered)) {
		if reason := strings.TrimSuffix(c.unanswered[addr], "."); !lost[addr] {
			byReason[reason] = append(byReason[reason], addr)
		}
	}
	var out []Finding
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		out = append(out, Finding{
			Code: "unreachable", Level: Broken,
			What: fmt.Sprintf("No server answers at %s: %s.", list(byReason[reason]), reason),
			Why:  "Callers that know no other address get no answers and store no events.",
			Remedy: "Look whether 'kith server' runs there and what its log says last; whether it listens there (--grpc-addr), not " +
				"at 127.0.0.1 alone; and whether a firewall is between.",
		})
	}
	return out
}

// because adds to what is said of a member why it did not answer the caller, if it was asked.
func (c *cluster) because(m *kithv1.Member) string {
	if reason := c.unanswered[m.GrpcAddr]; reason != "" {
		return " (" + reason + ")"
	}
	return ""
}

// cluster is a status with what the checks ask of it.
type cluster struct {
	*kithv1.StatusResponse
	unanswered map[string]string // address -> reason
	now        time.Time
	members    map[string]*kithv1.Member
}

func newCluster(s *kithv1.StatusResponse, unanswered map[string]string, now time.Time) *cluster {
	c := &cluster{StatusResponse: s, unanswered: unanswered, now: now, members: map[string]*kithv1.Member{}}
	for _, m := range s.Members {
		c.members[m.Id] = m
	}
	return c
}

func (c *cluster) alive(id string) bool {
	return c.members[id].GetState() == kithv1.MemberState_MEMBER_STATE_ALIVE
}

// up reports whether a member lives and answers calls: gossip takes a while to find that one has died.
func (c *cluster) up(id string) bool { return c.alive(id) && c.members[id].Answered }

// name names a member so that an operator finds it.
func (c *cluster) name(id string) string {
	if addr := c.members[id].GetGrpcAddr(); addr != "" {
		return fmt.Sprintf("%s (%s)", id, addr)
	}
	return id
}

func (c *cluster) names(ids []string) string {
	var out []string
	for _, id := range ids {
		out = append(out, c.name(id))
	}
	return list(out)
}

// downOf returns those of some members that are dead or do not answer.
func (c *cluster) downOf(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), c.up)
}

// list joins words: a, b and c.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// partitionsText names partitions: "Partition 3", "Partitions 3, 4 and 5", "All 16 partitions".
func (c *cluster) partitionsText(ps []uint32) string {
	var words []string
	for _, p := range ps {
		words = append(words, fmt.Sprint(p))
	}
	switch {
	case len(ps) == len(c.Partitions) && len(ps) > 1:
		return fmt.Sprintf("All %d partitions", len(ps))
	case len(ps) == 1:
		return "Partition " + words[0]
	}
	return "Partitions " + list(words)
}

// have agrees a verb with a number.
func have[T int | uint64](n T, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

// startAgain says how to bring members back.
func (c *cluster) startAgain(ids []string) string {
	if len(ids) == 1 {
		return fmt.Sprintf("Start 'kith server' again on %s, with the flags and the data folder that it had; its log says why it ended.", c.names(ids))
	}
	return fmt.Sprintf("Start 'kith server' again on %s, each with the flags and the data folder that it had; their logs say why they ended.", c.names(ids))
}

// elections is the remedy where time heals.
const elections = "An election takes about a second: ask again. If it stays so, look whether the servers reach each other's raft ports (7802), and at their logs."

func (c *cluster) forming() []Finding {
	if c.Node == "" { // nobody answered
		return nil
	}
	return []Finding{{
		Code: "forming", Level: Broken,
		What:   fmt.Sprintf("The cluster is still forming: %s there, and no partition has been placed.", have(len(c.Members), "member is", "members are")),
		Why:    "It takes no events and answers no questions until then.",
		Remedy: "Start the other servers. Each needs the same --bootstrap-expect, and --join with the gossip addresses (port 7803, TCP and UDP) of the others; their logs say what they wait for.",
	}}
}

func (c *cluster) coordinator() []Finding {
	if c.Coordinator != "" {
		return nil
	}
	var voters []string
	for _, m := range c.Members {
		if m.Voter {
			voters = append(voters, m.Id)
		}
	}
	down, need := c.downOf(voters), len(voters)/2+1
	f := Finding{
		Code: "no-coordinator", Level: Broken,
		Why: "No build begins or goes on, no server joins, and no other model is switched to. Questions are answered by the present model where partitions have leaders.",
	}
	up := len(voters) - len(down)
	if up < need {
		f.What = fmt.Sprintf("There is no coordinator: of the %d voters of the control group %s, and it takes %d. Down: %s.",
			len(voters), have(up, "is up", "are up"), need, c.names(down))
		f.Remedy = c.startAgain(down)
		return []Finding{f}
	}
	f.What = fmt.Sprintf("There is no coordinator, though of the %d voters of the control group %d are up.", len(voters), up)
	f.Remedy = elections
	return []Finding{f}
}

// leaders finds partitions without a leader, together where the same members are down.
func (c *cluster) leaders() []Finding {
	byDown := map[string][]uint32{}
	downOf := map[string][]string{}
	for _, p := range c.Partitions {
		if p.Leader != "" {
			continue
		}
		down := c.downOf(p.Replicas)
		if 2*len(down) < len(p.Replicas) {
			down = nil // a majority is up
		}
		slices.Sort(down)
		key := strings.Join(down, " ")
		byDown[key], downOf[key] = append(byDown[key], p.Partition), down
	}
	var out []Finding
	for _, key := range slices.Sorted(maps.Keys(byDown)) {
		ps, down := byDown[key], downOf[key]
		f := Finding{
			Code: "no-leader", Level: Broken,
			What:   fmt.Sprintf("%s cannot elect a leader: too many of their replicas are down, those on %s.", c.partitionsText(ps), c.names(down)),
			Why:    "Events of their users are refused, and questions about those users fail. What was acknowledged is on the disks of the members that are down.",
			Remedy: c.startAgain(down) + " If their disks are lost for good, restore the last backup to a new cluster ('kith cluster restore').",
		}
		if len(down) == 0 {
			f.What = c.partitionsText(ps) + " have no leader, though most of their replicas are up."
			f.Why = "Events of their users are refused, and questions about those users wait."
			f.Remedy = elections
		}
		if len(ps) == 1 {
			f.What = strings.NewReplacer("their replicas", "its replicas", " have no", " has no").Replace(f.What)
			f.Why = strings.NewReplacer("their users", "its users").Replace(f.Why)
		}
		out = append(out, f)
	}
	return out
}

func (c *cluster) dead() []Finding {
	var out []Finding
	for _, m := range c.Members {
		if m.State != kithv1.MemberState_MEMBER_STATE_DEAD {
			continue
		}
		holds := fmt.Sprintf("Its %s behind, and their partitions survive one failure less", have(uint64(m.Replicas), "replica falls", "replicas fall"))
		if m.Replicas == 0 {
			holds = "It holds no replicas, but takes no part in builds and answers no questions"
		}
		if m.Voter {
			holds += "; so does the control group, in which it votes"
		}
		out = append(out, Finding{
			Code: "member-dead", Level: AtRisk, What: fmt.Sprintf("Member %s is dead%s.", c.name(m.Id), c.because(m)), Why: holds + ".",
			Remedy: c.startAgain([]string{m.Id}) + " If it is gone for good, take it out: 'kith cluster leave " + m.Id + "'.",
		})
	}
	return out
}

// silent finds members that gossip and do not answer calls.
func (c *cluster) silent() []Finding {
	var out []Finding
	for _, m := range c.Members {
		if m.Answered || !c.alive(m.Id) {
			continue
		}
		out = append(out, Finding{
			Code: "member-silent", Level: Broken,
			What: fmt.Sprintf("Member %s does not answer the others%s, though gossip holds it for alive.", c.name(m.Id), c.because(m)),
			Why:  "Its replicas cannot be asked: questions wait for it before they go to others.",
			Remedy: "Ask again in half a minute: gossip takes a while to notice that a member has died. If it stays so, look whether servers reach its " +
				"port for calls (7801) at the address that it tells (--advertise-host), and whether the machine is overloaded or its disk hangs.",
		})
	}
	return out
}

// replicas finds partitions with fewer living replicas than the cluster wants.
func (c *cluster) replicas() []Finding {
	var few, placed []uint32
	least := int(c.ReplicationFactor)
	for _, p := range c.Partitions {
		living := len(p.Replicas) - len(c.downOf(p.Replicas))
		switch {
		case len(p.Replicas) < int(c.ReplicationFactor):
			placed = append(placed, p.Partition)
		case living < int(c.ReplicationFactor):
			few = append(few, p.Partition)
			least = min(least, living)
		}
	}
	var out []Finding
	lack := " lack"
	if len(few) == 1 {
		lack = " lacks"
	}
	if len(few) > 0 {
		out = append(out, Finding{
			Code: "under-replicated", Level: AtRisk,
			What:   fmt.Sprintf("%s replicas: of %d, at worst %s up.", c.partitionsText(few)+lack, c.ReplicationFactor, have(least, "is", "are")),
			Why:    fmt.Sprintf("A partition takes events while more than half of its replicas live, %d of %d.", c.ReplicationFactor/2+1, c.ReplicationFactor),
			Remedy: "Bring the members back that are down. Replicas that return catch up by themselves: 'kith cluster partitions' shows how far they are.",
		})
	}
	// One server by itself is meant to be so.
	alone := len(c.Members) == 1 && c.ReplicationFactor > 1
	if len(placed) > 0 && !alone {
		out = append(out, Finding{
			Code: "few-replicas", Level: AtRisk,
			What:   fmt.Sprintf("%s were placed on fewer than %d members.", c.partitionsText(placed), c.ReplicationFactor),
			Why:    "They survive fewer failures than the cluster was made for (--replication).",
			Remedy: fmt.Sprintf("Let the cluster have at least %d members: start more servers with --join.", c.ReplicationFactor),
		})
	}
	if c.ReplicationFactor == 1 || alone {
		remedy := "A cluster of three servers (--bootstrap-expect 3) keeps three replicas; 'kith cluster restore' brings the events there."
		if alone {
			remedy = "More servers, started with --join, get replicas by themselves."
		}
		out = append(out, Finding{
			Code: "one-replica", Level: Advice,
			What:   "Every partition has one replica.",
			Why:    "With the disk of a member its events are lost.",
			Remedy: "Take backups ('kith cluster backup'). " + remedy,
		})
	}
	return out
}

// lag finds members whose replicas are far behind.
func (c *cluster) lag() []Finding {
	most, behind := map[string]uint64{}, map[string]int{}
	for _, p := range c.Partitions {
		for _, r := range p.ReplicaStatus {
			if r.Answered && r.Lag > lagEntries {
				behind[r.Node]++
				most[r.Node] = max(most[r.Node], r.Lag)
			}
		}
	}
	var out []Finding
	for _, id := range slices.Sorted(maps.Keys(behind)) {
		out = append(out, Finding{
			Code: "replica-lags", Level: AtRisk,
			What: fmt.Sprintf("%s on %s lag, by up to %d entries of the log.", have(behind[id], "replica", "replicas"), c.name(id), most[id]),
			Why:  "A replica that lags does not stand in for its leader until it has caught up, and a read of --stale there is old.",
			Remedy: "Run 'kith cluster partitions' again: after a restart the numbers fall by themselves. If they do not, the disk, the processor " +
				"or the network of that member is too slow.",
		})
	}
	return out
}

func (c *cluster) disks() []Finding {
	var out []Finding
	for _, m := range c.Members {
		total, free := m.DiskTotalBytes, m.DiskFreeBytes
		if total == 0 || free >= min(total/10, nearlyFull) {
			continue
		}
		f := Finding{
			Code: "disk", Level: AtRisk,
			What: fmt.Sprintf("The disk of %s is nearly full: %s of %s are free, and its data takes %s.", c.name(m.Id), bytesText(free), bytesText(total), bytesText(m.DataBytes)),
			Why:  "When nothing is free its replicas stop, and a snapshot or a build needs room at once.",
			Remedy: "Make room on the disk of its --data-dir, or stop the server, move the folder to a larger disk and start it with the new --data-dir. " +
				"More servers take over a part of the data; 'kith cluster drain' moves all of it.",
		}
		if free < min(total/50, almostNothing) {
			f.Level = Broken
		}
		out = append(out, f)
	}
	return out
}

// voters finds control groups that survive less than they could.
func (c *cluster) voters() []Finding {
	voters, living := 0, 0
	for _, m := range c.Members {
		if m.Voter {
			voters++
		}
		if c.alive(m.Id) {
			living++
		}
	}
	switch {
	case voters == 0: // not known here
		return nil
	case voters < usualVoters && living >= usualVoters:
		return []Finding{{
			Code: "voters", Level: AtRisk,
			What:   fmt.Sprintf("The control group has %s, and the cluster %d living members.", have(voters, "voter", "voters"), living),
			Why:    "When a majority of the voters is lost nobody coordinates. Three survive the loss of one.",
			Remedy: "Members that stay get a vote by themselves within some minutes. If they do not, the log of the coordinator says why.",
		}}
	case voters%2 == 0:
		return []Finding{{
			Code: "voters", Level: AtRisk,
			What:   fmt.Sprintf("The control group has %d voters, an even number.", voters),
			Why:    fmt.Sprintf("%d survive the loss of no more than %d would.", voters, voters-1),
			Remedy: "Start another server, or take one out for good ('kith cluster leave').",
		}}
	}
	return nil
}

// zones finds partitions whose replicas could fail together without need.
func (c *cluster) zones() []Finding {
	zones := map[string]bool{}
	for _, m := range c.Members {
		if c.alive(m.Id) {
			zones[m.Zone] = true
		}
	}
	if len(zones) < 2 {
		return nil
	}
	byZone := map[string][]uint32{}
	for _, p := range c.Partitions {
		in := map[string]bool{}
		for _, id := range p.Replicas {
			in[c.members[id].GetZone()] = true
		}
		if len(p.Replicas) > 1 && len(in) == 1 {
			for zone := range in {
				byZone[zone] = append(byZone[zone], p.Partition)
			}
		}
	}
	var out []Finding
	for _, zone := range slices.Sorted(maps.Keys(byZone)) {
		ps := byZone[zone]
		verb := "have all their replicas"
		if len(ps) == 1 {
			verb = "has all its replicas"
		}
		out = append(out, Finding{
			Code: "one-zone", Level: AtRisk,
			What: fmt.Sprintf("%s %s in zone %q, though there are %d zones.", c.partitionsText(ps), verb, zone, len(zones)),
			Why:  "When the zone fails, their events can be neither stored nor read.",
			Remedy: "Look whether every server has the right --zone ('kith cluster members'). Replicas spread over zones when they are placed: " +
				"let each zone have members with room.",
		})
	}
	return out
}

func (c *cluster) versions() []Finding {
	of := map[string][]string{}
	for _, m := range c.Members {
		if c.alive(m.Id) {
			of[m.Version] = append(of[m.Version], m.Id)
		}
	}
	if len(of) < 2 {
		return nil
	}
	var words []string
	for _, v := range slices.Sorted(maps.Keys(of)) {
		words = append(words, fmt.Sprintf("%s runs on %s", cmp.Or(v, "an unknown version"), list(of[v])))
	}
	return []Finding{{
		Code: "versions", Level: AtRisk, What: "Members run different versions: " + list(words) + ".",
		Why:    "That is right in the middle of an upgrade and nowhere else: builds may need the same version everywhere.",
		Remedy: "Upgrade the others, one after the other, each when 'kith health --ready' says yes for the one before.",
	}}
}

func (c *cluster) clocks() []Finding {
	var first, last *kithv1.Member
	for _, m := range c.Members {
		if !m.Answered {
			continue
		}
		if first == nil || m.ClockOffsetMs < first.ClockOffsetMs {
			first = m
		}
		if last == nil || m.ClockOffsetMs > last.ClockOffsetMs {
			last = m
		}
	}
	if first == nil {
		return nil
	}
	apart := time.Duration(last.ClockOffsetMs-first.ClockOffsetMs) * time.Millisecond
	if apart <= clockTolerance {
		return nil
	}
	return []Finding{{
		Code: "clocks", Level: AtRisk,
		What:   fmt.Sprintf("Clocks differ: that of %s is %v ahead of that of %s.", c.name(last.Id), apart.Round(time.Millisecond), c.name(first.Id)),
		Why:    "Times of builds and logs do not fit together, and ages of events with a half-life are off by as much. No event is lost by it.",
		Remedy: "Let all machines keep their time by NTP (chrony, systemd-timesyncd), and look at the one that is off.",
	}}
}

// build finds the last build if it failed. One that somebody has canceled did not.
func (c *cluster) build() []Finding {
	for _, j := range c.Jobs { // newest first
		switch {
		case j.Phase == kithv1.JobPhase_JOB_PHASE_DONE:
			return nil
		case j.Phase == kithv1.JobPhase_JOB_PHASE_FAILED && !strings.HasPrefix(j.Error, "canceled by "):
			return []Finding{{
				Code: "build-failed", Level: Broken,
				What:   fmt.Sprintf("The last build, %d, failed: %s.", j.Id, strings.TrimSuffix(cmp.Or(j.Error, "no reason is known"), ".")),
				Why:    "Answers stay those of the model before it, if there is one.",
				Remedy: "Cure the reason, then run 'kith build --wait'. The log of the coordinator says more.",
			}}
		}
	}
	return nil
}

// model finds that there is none, or an old one.
func (c *cluster) model() []Finding {
	var events uint64
	grown := false
	for _, p := range c.Partitions {
		events += p.Events
		grown = grown || p.ModelIndex > 0 && p.AppliedIndex > p.ModelIndex
	}
	age := c.now.Sub(time.UnixMilli(c.ActiveCreatedUnixMs))
	switch {
	case c.ActiveVersion == 0 && events == 0:
		return []Finding{{
			Code: "empty", Level: Advice, What: "The cluster has no events yet.", Why: "There is nothing to answer with.",
			Remedy: "Store some with 'kith ingest', or bring back a backup with 'kith cluster restore --build'.",
		}}
	case c.ActiveVersion == 0:
		return []Finding{{
			Code: "no-model", Level: Broken,
			What:   fmt.Sprintf("There is no model, though there are %d events.", events),
			Why:    "Answers are what is popular, the same for everybody.",
			Remedy: "Run 'kith build --wait'.",
		}}
	case c.ActiveCreatedUnixMs > 0 && grown && age > staleModel:
		return []Finding{{
			Code: "old-model", Level: AtRisk,
			What:   fmt.Sprintf("The model is %.0f days old, and events have come since.", age.Hours()/24),
			Why:    "New items are not recommended but by popularity, and what users like by now is known only where it is in their own history.",
			Remedy: "Run 'kith build' every night, from cron or a timer.",
		}}
	}
	return nil
}

// bytesText writes a number of bytes.
func bytesText(n uint64) string {
	x, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if x < 1000 {
			break
		}
		x, unit = x/1000, next
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}
