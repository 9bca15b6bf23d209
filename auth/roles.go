package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Role allows a group of calls.
type Role string

// Roles. Admin includes Read, Write, Train and Metrics, and Node, which no key and no token can have, includes all.
const (
	// Read asks for recommendations, events, records and the state of the cluster.
	Read Role = "read"
	// Write stores events, and stores and deletes records.
	Write Role = "write"
	// Train starts and ends builds, and chooses the model version.
	Train Role = "train"
	// Metrics reads the metrics of servers, and nothing else: whoever collects them needs to see no users.
	Metrics Role = "metrics"
	// Admin changes the cluster, makes backups, erases users and takes profiles.
	Admin Role = "admin"
	// Node is a server of the cluster.
	Node Role = "node"
)

// given are the roles that callers other than nodes may have.
var given = []Role{Read, Write, Train, Metrics, Admin}

// ParseRoles converts names of roles that keys and clients may have, and refuses others.
func ParseRoles(names []string) ([]Role, error) {
	var roles []Role
	for _, name := range names {
		role := Role(strings.TrimSpace(name))
		if !slices.Contains(given, role) {
			return nil, fmt.Errorf("role %q: want read, write, train, metrics or admin", name)
		}
		if !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return nil, fmt.Errorf("no role: want one or more of read, write, train, metrics and admin")
	}
	return roles, nil
}

// Caller is who makes a call.
type Caller struct {
	// Kind is how it showed who it is: "key", "token", "certificate", or "none" where nothing is asked for.
	Kind string
	// ID is unique among callers of a kind, and Name is for people. Neither is a secret.
	ID, Name string
	Roles    []Role
	// rate is the number of calls a second that the caller may make, and burst how many at once; 0 means what the server says.
	rate  float64
	burst int
}

// may reports whether one of the roles of the caller is among those that a call takes.
func (c *Caller) may(r Rule) bool {
	return slices.ContainsFunc(c.Roles, func(role Role) bool {
		return role == Node || slices.Contains(r.Roles, role) || role == Admin && !slices.Equal(r.Roles, nodes)
	})
}
