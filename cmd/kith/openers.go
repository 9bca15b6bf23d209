package main

import (
	"maps"

	"github.com/kith-io/kith/source"
	"github.com/kith-io/kith/source/db"
	"github.com/kith-io/kith/source/kafka"
	"github.com/kith-io/kith/source/object"
)

// openers returns what opens the URLs of services, by scheme.
func openers() map[string]source.Opener {
	out := db.Openers()
	maps.Copy(out, kafka.Openers())
	maps.Copy(out, object.Openers())
	return out
}
