package server_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	kithv1 "github.com/kith-io/kith/proto/kith/v1"
	"github.com/kith-io/kith/server/clustertest"
)

// TestBuildLeavesFilesToFollow: a build of whole weights leaves norms on each server, and of each partition a rest on the one that made
// its lists; one that cannot be followed leaves neither.
func TestBuildLeavesFilesToFollow(t *testing.T) {
	t.Parallel()
	c := clustertest.Start(t, clustertest.Options{})
	var events []*kithv1.Event
	for user := range 20 {
		for item := range 3 {
			events = append(events, &kithv1.Event{User: fmt.Sprint("u", user), Item: fmt.Sprint("i", user%4+item), Behavior: "view", Id: fmt.Sprint(user, "-", item)})
		}
	}
	c.Append(0, events)
	found := func(job *kithv1.Job, pattern string) (names []string) {
		for i := range c.Members {
			paths, err := filepath.Glob(filepath.Join(c.Dir(i), "models", fmt.Sprintf("%020d", job.Id), pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				names = append(names, filepath.Base(path))
			}
		}
		slices.Sort(names)
		return names
	}
	job := c.Build(0, &kithv1.BuildSpec{Measure: "cosine", K: 5})
	if job.Phase != kithv1.JobPhase_JOB_PHASE_DONE {
		t.Fatal(job)
	}
	if norms := found(job, "norms"); len(norms) != len(c.Members) {
		t.Errorf("%d norms on %d servers", len(norms), len(c.Members))
	}
	var want []string
	for _, lists := range slices.Compact(found(job, "lists-?????")) {
		want = append(want, "rest"+lists[len("lists"):])
	}
	if rests := found(job, "rest-?????"); len(want) == 0 || !slices.Equal(rests, want) {
		t.Errorf("rests are %q, want %q", rests, want)
	}
	if job = c.Build(1, &kithv1.BuildSpec{Measure: "tf-idf", K: 5}); job.Phase != kithv1.JobPhase_JOB_PHASE_DONE {
		t.Fatal(job)
	}
	if left := append(found(job, "norms"), found(job, "rest-*")...); len(left) > 0 {
		t.Errorf("a build that nothing follows has left %q", left)
	}
}
