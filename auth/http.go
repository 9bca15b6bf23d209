package auth

import (
	"context"
	"net/http"

	"github.com/kith-io/kith/node/wire"
)

// Route puts the Guard before the handler of a route, which is named by its pattern in the table.
func (g *Guard) Route(pattern string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{}
		if !g.enter(c, pattern, w, r) {
			return
		}
		h.ServeHTTP(w, r)
		g.note(c, nil, nil)
	})
}

// admittedKey is that of a *call in a context.
type admittedKey struct{}

// Method lets a request through that is to call a method of gRPC in this process through Unary or Stream, and returns the context for that, or answers why
// not. The rule is that of the method. The caller is asked for and counted here, before the body is read, and not again by the call; what came of it is noted there.
func (g *Guard) Method(fullMethod string, w http.ResponseWriter, r *http.Request) (ctx context.Context, ok bool) {
	a := &admission{Context: r.Context()}
	return a, g.enter(&a.call, fullMethod, w, r)
}

// admission is the context of a call that Method has let in.
type admission struct {
	context.Context
	call call
}

// Value implements context.Context.
func (a *admission) Value(key any) any {
	if _, ok := key.(admittedKey); ok {
		return &a.call
	}
	return a.Context.Value(key)
}

// admitted returns the call of a method that Method has let in, or else nil.
func admitted(ctx context.Context, method string) *call {
	if c, ok := ctx.Value(admittedKey{}).(*call); ok && c.name == method {
		return c
	}
	return nil
}

// enter authorizes and counts a request, which becomes the call c, or answers with why not.
func (g *Guard) enter(c *call, name string, w http.ResponseWriter, r *http.Request) (ok bool) {
	*c = call{name: name, bearer: r.Header.Values("Authorization"), state: r.TLS, from: r.RemoteAddr, began: g.cfg.Now()}
	if err := g.admit(r.Context(), c); err != nil {
		g.note(c, nil, err)
		w.Header().Set("Connection", "close") // the body is not read
		wire.WriteHTTP(w, err)
		return false
	}
	return true
}
