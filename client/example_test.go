package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/kith-io/kith/client"
)

func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := client.New(ctx, []string{"localhost:7801"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Append(ctx, []client.Event{{User: "u1", Item: "i1", Behavior: client.Purchase}}); err != nil {
		fmt.Println(err)
		return
	}
	answer, err := c.Recommend(ctx, client.Query{User: "u1", N: 10, Rules: client.Rules{
		Filter: client.Filter{Conditions: []client.Condition{client.AtMost("price", 50)}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range answer.Items {
		fmt.Println(r.Item, r.Score)
	}
}

func ExampleClient_NewAppender() {
	ctx := context.Background()
	c, err := client.New(ctx, []string{"localhost:7801"}, client.WithHedging(0.05))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	a, err := c.NewAppender(ctx, client.AppenderConfig{Lost: func(e client.Event, err error) {
		fmt.Printf("event %s: %v\n", e.ID, err)
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 100 {
		if err := a.Add(ctx, client.Event{User: "u1", Item: fmt.Sprint("i", i), Behavior: client.View}); err != nil {
			fmt.Println(err)
		}
	}
	if err := a.Close(ctx); err != nil {
		fmt.Println(err)
	}
}

func ExampleReason() {
	ctx := context.Background()
	c, err := client.New(ctx, []string{"localhost:7801"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	_, err = c.Recommend(ctx, client.Query{User: "u1", NoFallback: true})
	switch {
	case errors.Is(err, client.NoModel):
		fmt.Println("build one with kith build")
	case errors.Is(err, client.UnknownUser):
		fmt.Println("show what is popular")
	case err != nil:
		fmt.Println(err)
	}
}
