// Package client is for shops: it asks a kith cluster and stores events and records in it.
//
//	c, err := client.New(ctx, []string{"kith-1:7801", "kith-2:7801"}, client.WithTLS(tls), client.WithAPIKey(key))
//	...
//	defer c.Close()
//	answer, err := c.Recommend(ctx, client.Query{User: "u1", N: 10})
//
// Calls go to all nodes of the cluster in turn. Which there are is asked of the cluster, so that nodes that join or leave are
// followed; those that fail, or are far slower than the others, are left alone for a while.
//
// Every call has a deadline. What failed in a way that may pass is tried again on another node, after a pause that grows and
// is drawn at random [brooker2015], if repeating it is harmless: all reads, and writes that store nothing twice. Events get ids before
// the first attempt for that. With [WithHedging] a read that takes unusually long is also sent to a second node [dean2013].
//
// An error of a call is an [*Error]; errors.Is(err, client.NoModel) and the like tell conditions apart.
package client
