package partition

// Handover is a change of the leader of a partition, to another holder of it.
type Handover struct {
	Partition ID
	From, To  string
}

// NextHandover returns the change of leader that evens out the work of leaders most, or false if none does. replicas[p] are the holders of
// partition p and leaders[p] is the one that leads it, or "" if none does. A member should lead in proportion to what it
// holds, so the measure is led over held partitions: the change goes from the member where it is greatest to the one where it is least, if
// the one is above the other still after it. Members for which able is false lead nothing more. Repeated with its results
// applied it ends: each change lowers the sum of led²/held. Of equal changes it takes the one of the lowest partition. Cost: O(replicas).
func NextHandover(replicas [][]string, leaders []string, able func(member string) bool) (Handover, bool) {
	held, led := map[string]int{}, map[string]int{}
	for p, nodes := range replicas {
		for _, n := range nodes {
			held[n]++
		}
		if leaders[p] != "" {
			led[leaders[p]]++
		}
	}
	share := func(n string, more int) float64 { return float64(led[n]+more) / float64(max(held[n], 1)) }
	var best Handover
	gain := 0.0
	for p, from := range leaders {
		if from == "" {
			continue
		}
		for _, to := range replicas[p] {
			if to == from || !able(to) {
				continue
			}
			if g := share(from, 0) - share(to, 1); g > gain+1e-9 {
				best, gain = Handover{ID(p), from, to}, g
			}
		}
	}
	return best, gain > 0
}
