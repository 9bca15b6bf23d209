// Package train is how models are trained over several workers: map over shards of users, merge, publish.
//
// The form is bulk-synchronous (Valiant, CACM 33(8), 1990 [valiant1990]): a driver, of which there is one, names a step; every worker does it on its
// users; what they say goes back to the driver in the order of workers, and it names the next. What is small goes through the driver. What is
// large a worker puts under a name, and others get it from there in a later step. A model that is written in this form is trained in one
// process by Run, and over nodes by the machinery of builds, with the same result: it depends on the number of workers by no more
// than the rounding of sums, and on nothing else.
package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kith-io/kith/model"
	"github.com/kith-io/kith/similarity"
)

// Shape is what the driver knows of the data.
type Shape struct {
	// Users, Items and Entries are those of the whole matrix.
	Users, Items int
	Entries      int64
	// FirstUser has, for each worker, the number of its first user, and then the number of users.
	FirstUser []int
	// Behaviors names what Event.Behavior counts; none where there are no events.
	Behaviors []string
}

// Workers returns the number of workers.
func (s *Shape) Workers() int { return len(s.FirstUser) - 1 }

// ItemsOf returns the range of items that a worker owns, where work is divided by items: ranges of about equal length.
func (s *Shape) ItemsOf(worker int) (first, end int) {
	n := s.Workers()
	return worker * s.Items / n, (worker + 1) * s.Items / n
}

// OwnerOf returns the worker that owns an item.
func (s *Shape) OwnerOf(item int) int {
	n := s.Workers()
	w := item * n / max(1, s.Items)
	for w+1 < n && item >= (w+1)*s.Items/n {
		w++
	}
	return w
}

// Data is what one worker has: the users from Shape.FirstUser[worker] on.
type Data struct {
	Shape Shape
	// Worker is the number of this one.
	Worker int
	// Rows is users of this worker × all items. It is only read.
	Rows *similarity.Rows
	// Times has, for each entry of Rows from Rows.Start[0] on, the time of its newest event in Unix milliseconds, 0 for unknown. It is nil where all are.
	Times []int64
	// Features is items × features, the same for every worker: what items are, such as ones for the categories of a product. Kind.Features makes it of Products, with rows
	// for these. It is only read, and nil if nothing is known.
	Features *similarity.Rows
	// Events calls f with all events of each user of this worker, oldest first, users ascending; it stops at an error, and returns it. It may be
	// called more than once. It is nil where only the matrix is known.
	Events func(ctx context.Context, f func(user int, events []Event) error) error
	// Products has what is known of the items of the matrix, by dense id, and behind these what is known of products that are not in it; the ids go on. It is the same for all
	// workers, only read, and nil where nothing is known.
	Products []Product
	// Profiles has what is known of each user of this worker beside events, those attributes at least that Kind.UserAttributes names; by name, which none has twice. It is only read,
	// and nil where nothing is known of anybody.
	Profiles [][]Attribute
}

// Product is what is known of an item beside its events.
type Product struct {
	// Attributes ascend by name, which none has twice.
	Attributes []Attribute
}

// Attribute is a named value.
type Attribute = model.Attribute

// Event is what one user did.
type Event struct {
	// Item is the dense id of the item, or NoItem for one that is not in the matrix.
	Item uint32
	// Behavior is an index into Shape.Behaviors.
	Behavior uint8
	// Value is a rating, or a quantity.
	Value float32
	// Time is in Unix milliseconds, 0 for unknown.
	Time int64
	// Basket is equal for the events of one order or visit of the user, and different for others of the same user.
	Basket uint64
}

// NoItem is the item of an event whose item is not in the matrix.
const NoItem = ^uint32(0)

// Step is what all workers are told to do. The meaning of Name and Input is between a driver and its workers.
type Step struct {
	Name  string
	Input []byte
}

// Driver says what is done next.
type Driver interface {
	// Next takes what the workers said in the last step, in their order, nil at first, and returns the next step. done ends the training: what is put by
	// then is what Kind.Write finds. The same answers give the same steps.
	Next(said [][]byte) (next Step, done bool, err error)
	// Progress tells how far the training is, from 0 to 1.
	Progress() float64
}

// Noter is a Driver that has something to say of the model once it is done.
type Noter interface {
	// Notes are sentences for whoever asked for the model, such as what of the data it has not learned from.
	Notes() []string
}

// Worker does steps for its users.
type Worker interface {
	// Do does a step. It may use all threads that it was made with, and must return soon when ctx ends.
	Do(ctx context.Context, step Step, peers Peers) (said []byte, err error)
}

// Peers is how a worker sees the others.
type Peers interface {
	// Put keeps b under a name until it is put anew or the training has ended. Neither may change b afterwards. It can be got from the next step on.
	Put(name string, b []byte) error
	// Drop forgets what was put.
	Drop(name string)
	// Get returns what a worker put in an earlier step. The caller must not change it.
	Get(ctx context.Context, worker int, name string) ([]byte, error)
	// Share returns what f returns. Of the workers of one process that ask for a name in a step one makes it, while the others wait; who is told an error makes it anew. It is the same
	// whoever makes it, and only read.
	Share(ctx context.Context, name string, f func() (any, error)) (any, error)
}

// Kind is a kind of model that is trained in this form.
type Kind struct {
	// Name is how users call it.
	Name string
	// Doc says in one line what it is.
	Doc        string
	Parameters []model.Parameter
	// NeedsEvents says that Data.Events must be there.
	NeedsEvents bool
	// PredictsRatings says that models are a Rater. They learn from Data.Ratings.
	PredictsRatings bool
	// NeedsProducts says that Data.Products must be there.
	NeedsProducts bool
	// Features makes Data.Features of Data.Products, where these are known. Who trains calls it once for all workers of a process, behind FeaturesOf. It is nil for a kind that
	// does not look at features.
	Features func(products []Product, s model.Settings) (*similarity.Rows, error)
	// UserAttributes names the attributes of users that a model with these settings learns from, ascending. What nobody has named is not learned from. It is nil for a kind that does
	// not look at users.
	UserAttributes func(s model.Settings) []string
	NewDriver      NewDriver
	NewWorker      NewWorker
	// OfBase is in the place of both for a kind that learns from the models of its base, trained anew: it makes them for a base. The data have what the base needs but for Data.Features.
	OfBase func(base []BaseModel) (NewDriver, NewWorker, error)
	// Write makes the file of the model of what the workers have put. It reads it by get, and is called once, after the training has ended. The file has a magic
	// number, a version and whatever Read must check; a checksum of the whole is kept beside it by who stores it.
	Write func(ctx context.Context, shape Shape, s model.Settings, get func(ctx context.Context, worker int, name string) ([]byte, error), w io.Writer) error
	// Read makes a model of a file, which may be mapped to memory and outlives the model. It returns an error for a file that is not whole; no file makes it panic.
	// Which other interfaces than Model the result has is between the kind and those who ask.
	Read func(file []byte) (Model, error)
	// ReadCombination is in the place of Read for a kind whose models are made of others: those that the setting Base names.
	ReadCombination func(file []byte) (Combination, error)
	// CheckSettings says what is wrong with settings of which each is within its bounds; nil for nothing.
	CheckSettings func(s model.Settings) error

	// baseOfProducts says that a model of its base learns from products.
	baseOfProducts bool
}

// NewDriver makes the driver of a training.
type NewDriver func(shape Shape, s model.Settings) (Driver, error)

// NewWorker makes the worker for a share of the data.
type NewWorker func(data *Data, s model.Settings, threads int) (Worker, error)

// BaseModel is a model of a base.
type BaseModel struct {
	Name     string
	Kind     *Kind
	Settings model.Settings
}

// Of returns the kind for a base: with NewDriver and NewWorker, and learning from the products and the attributes of users that the models of the base learn from.
func (k *Kind) Of(base []BaseModel) (*Kind, error) {
	if k.OfBase == nil {
		return k, nil
	}
	bound := *k
	var err error
	bound.NewDriver, bound.NewWorker, err = k.OfBase(base)
	var attributes []string
	for _, b := range base {
		bound.baseOfProducts = bound.baseOfProducts || b.Kind.LearnsFromProducts()
		attributes = append(attributes, b.Kind.AttributesOf(b.Settings)...)
	}
	slices.Sort(attributes)
	attributes = slices.Compact(attributes)
	bound.UserAttributes = func(model.Settings) []string { return attributes }
	return &bound, err
}

// Base is the parameter of kinds with ReadCombination that names the models which theirs are made of.
var Base = model.Parameter{Name: "base", Doc: "models that it is made of, which were named before it", Names: true}

// ParseSettings reads settings of this kind.
func (k *Kind) ParseSettings(given map[string]string) (model.Settings, error) {
	s, err := model.ParseSettings(k.Parameters, given)
	if err == nil && k.CheckSettings != nil {
		err = k.CheckSettings(s)
	}
	return s, err
}

// LearnsFromProducts says whether Data.Products makes a difference.
func (k *Kind) LearnsFromProducts() bool {
	return k.NeedsProducts || k.Features != nil || k.baseOfProducts
}

// FeaturesOf returns the features of products that workers of this kind take; nil without products, or if they take none.
func (k *Kind) FeaturesOf(products []Product, s model.Settings) (*similarity.Rows, error) {
	if k.Features == nil || products == nil {
		return nil, nil
	}
	f, err := k.Features(products, s)
	if err != nil {
		return nil, fmt.Errorf("features of products: %w", err)
	}
	return f, nil
}

// AttributesOf returns the names of the attributes of users that a model learns from.
func (k *Kind) AttributesOf(s model.Settings) []string {
	if k.UserAttributes == nil {
		return nil
	}
	return k.UserAttributes(s)
}

// Check returns an error if the data lack what this kind needs.
func (k *Kind) Check(d *Data) error {
	switch {
	case k.NeedsEvents && d.Events == nil:
		return errors.New("it learns from single events, which these data do not have")
	case k.NeedsProducts && d.Products == nil:
		return errors.New("it learns from the attributes of products, and none are known; give records of products")
	}
	return nil
}

// Model answers queries. It is safe for concurrent use.
type Model interface {
	// Recommend answers a query about the items of the matrix that the model was trained on, and, if it learned from Data.Products, of the products behind them; a history need
	// not be of a user of it.
	Recommend(q model.Query) ([]model.Scored, error)
}

// OfProducts is a Model whose queries may have products without events in the history: those that it can answer with.
type OfProducts interface {
	Model
	// NumProducts is above the ids of all of them.
	NumProducts() int
}

// Profiled is a Model that may have learned from attributes of users.
type Profiled interface {
	Model
	// UserAttributes names those that Query.Profile should have, ascending.
	UserAttributes() []string
}

// Rater is a Model that predicts ratings: those are the scores that it recommends by.
type Rater interface {
	Model
	// Rate writes the rating that the user with the history of q is expected to give each of some items to dst, which is as long, within the range of the ratings that it learned from.
	// Items may be outside of the matrix.
	Rate(q model.Query, items []uint32, dst []float64) error
}

// Combination makes one answer of those of other models, its base, which the caller asks. It is safe for concurrent use.
type Combination interface {
	// Base returns the names of the models.
	Base() []string
	// Depths returns how many of its best items each model of the base is asked for; one with 0 need not be asked.
	Depths(q model.Query) []int
	// Combine ranks what any model has found. answers has what each says, best first, without filled items; items may be beyond those of the matrix.
	Combine(q model.Query, answers [][]model.Scored) []model.Scored
}

// AttributesOf returns the names of the attributes of a user that a model looks at, ascending.
func AttributesOf(m Model) []string {
	if p, ok := m.(Profiled); ok {
		return p.UserAttributes()
	}
	return nil
}

// Find returns the kind of a name.
func Find(kinds []*Kind, name string) (*Kind, error) {
	i := slices.IndexFunc(kinds, func(k *Kind) bool { return k.Name == name })
	if i < 0 {
		var names []string
		for _, k := range kinds {
			names = append(names, k.Name)
		}
		return nil, fmt.Errorf("unknown model %q, want one of %q", name, names)
	}
	return kinds[i], nil
}
