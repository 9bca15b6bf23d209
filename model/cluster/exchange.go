package cluster

import (
	"context"
	"fmt"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/model/train"
)

func name(what string, owner int) string { return fmt.Sprintf("%s/%d", what, owner) }

// putOwners puts, for each owner, its items' part of x, which has width numbers for each item.
func putOwners[T model.Number](w *worker, peers train.Peers, what string, x []T, width int) error {
	for owner := range w.Shape.Workers() {
		first, end := w.Shape.ItemsOf(owner)
		if err := peers.Put(name(what, owner), putSlice(nil, x[first*width:end*width])); err != nil {
			return err
		}
	}
	return nil
}

// sumOwned calls add with what each worker has put for the own items.
func sumOwned[T model.Number](ctx context.Context, w *worker, peers train.Peers, what string, width int, add func(i int, x T)) error {
	for from := range w.Shape.Workers() {
		part, err := get[T](ctx, peers.Get, from, name(what, w.Worker), (w.end-w.first)*width)
		if err != nil {
			return err
		}
		for i, x := range part {
			add(i, x)
		}
	}
	return nil
}

func get[T model.Number](ctx context.Context, f func(context.Context, int, string) ([]byte, error), from int, what string, n int) ([]T, error) {
	b, err := f(ctx, from, what)
	if err != nil {
		return nil, err
	}
	x, err := only[T](b, "numbers", n)
	if err != nil {
		return nil, fmt.Errorf("%s of worker %d: %w", what, from, err)
	}
	return x, nil
}

// fromOwners joins what the owners have put of their items.
func fromOwners[T model.Number](ctx context.Context, shape *train.Shape, f func(context.Context, int, string) ([]byte, error), what string, width int) ([]T, error) {
	var all []T
	for owner := range shape.Workers() {
		first, end := shape.ItemsOf(owner)
		part, err := get[T](ctx, f, owner, what, (end-first)*width)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}
