// Package auth says who calls, and what a caller may do.
//
// A caller shows an API key, a token of an OpenID Connect issuer, or a client certificate; each gives it roles. A table says which roles
// each method of gRPC and each route of HTTP takes. What is not in the table is refused. A Guard enforces it in front of all services,
// bounds the calls of each caller, and writes administrative acts to the audit log.
package auth
