// Package router answers where a statement goes: text and parameters in, a
// Route out. It is pure: no network, no clock, no goroutine.
//
//	text ─ lexer.go → normalise.go → templates.go ─ hit ─────────────┐
//	                                      │ miss                     ▼
//	                       rebuild.go → parse.go → analyse*.go → Template
//	                                                                 │
//	                      literals, parameters, session ─ route.go ──┴→ Route
//
// A single pass of the lexer lifts the literals out of the text. What remains
// is the template; its analysis is done once and kept in an LRU that compares
// whole templates, so a hash collision cannot misroute. [Router.Analyse] finds
// or makes the template; [Router.Route] hashes the tenant's literal or
// parameter and allocates nothing when it succeeds.
//
// The analysis binds every sharded table of a statement to the tenant, over the
// whole tree (graph.go says what follows from what), and says what the
// statement does to a session: reads, writes, settings, holds.
//
// A Router is immutable but for its templates, and safe for concurrent use. A
// new map or catalog is a new Router.
package router
