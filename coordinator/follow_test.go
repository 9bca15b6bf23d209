package coordinator

import "testing"

// TestOnlyNode: changes may stay on a node if no other is alive, and none had replicas when the build began.
func TestOnlyNode(t *testing.T) {
	for _, c := range []struct {
		alive    []string
		replicas [][]string
		want     bool
	}{
		{[]string{"a"}, [][]string{{"a"}, {"a"}}, true},
		{[]string{"a", "b"}, [][]string{{"a"}, {"a"}}, false},
		{[]string{"a"}, [][]string{{"a"}, {"a", "b"}}, false},
		{[]string{"a"}, [][]string{{"b"}, {"a"}}, false},
		{nil, [][]string{{"a"}}, false},
	} {
		if got := onlyNode(c.alive, c.replicas); got != c.want {
			t.Errorf("of %v with replicas %v: %v, want %v", c.alive, c.replicas, got, c.want)
		}
	}
}
