// Package reference serves the description of the HTTP face: /openapi.json, which is made from the protocol, and /docs, a page to read it
// and to try the calls. The page needs nothing from elsewhere.
package reference

import (
	"bytes"
	"embed"
	"net/http"
	"time"

	"github.com/kith-io/kith/node/wire"
)

//go:embed openapi.json page
var files embed.FS

// policy lets the page load its own script and style, call its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Routes returns the handlers by pattern.
func Routes() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /openapi.json": file("openapi.json"),
		"GET /docs":         file("page/index.html"),
		"GET /docs/{file}": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			file("page/"+r.PathValue("file")).ServeHTTP(w, r)
		}),
	}
}

// file answers with an embedded file.
func file(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := files.ReadFile(name)
		if err != nil {
			wire.WriteHTTP(w, &wire.HTTPError{Status: http.StatusNotFound, Reason: "NO_ROUTE", Message: "there is no such page; see /docs"})
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	})
}
