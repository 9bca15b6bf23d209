package coordinator

import (
	"cmp"
	"context"
	"slices"
)

// responding asks nodes whether they are there, all at once, and returns those that are. Membership finds out only after seconds that a
// process hangs, which is too late before a group becomes smaller: a group of three that loses one voter while another hangs has two, of
// which both must agree, and can neither go on nor go back.
func (p *placement) responding(ctx context.Context, nodes []string) []string {
	infos := p.infos(ctx, nodes)
	return slices.DeleteFunc(slices.Clone(nodes), func(id string) bool { return infos[id] == nil })
}

// giveUp returns voters in the order in which they should lose their votes: those first that do not answer, then those that are not to
// stay. The votes of others are taken to have an odd number, which is of use only if those that stay have them.
func giveUp(s *State, voters, alive []string) []string {
	rank := func(id string) int {
		m := s.Member(id)
		switch {
		case !slices.Contains(alive, id):
			return 0
		case m == nil || !Stays(m):
			return 1
		}
		return 2
	}
	order := slices.Clone(voters)
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return order
}
