// Package proxy is the life of a client connection: admit, authenticate, route, acquire, relay, release.
//
// The path of a query, one file a step: `proxy/server.go` accepts; `proxy/startup.go` reads the first packets;
// `proxy/auth.go` finds out who the client is; `proxy/session.go` runs the session; `proxy/query.go` (simple protocol) and
// `proxy/extended.go` (extended protocol) take a statement; `proxy/route.go` asks the router; `proxy/enlist.go` acquires
// a backend and prepares it; `proxy/relay.go` moves the answer of one shard, `proxy/scatter.go` of all of them;
// `proxy/reply.go` keeps the order of replies.
//
// A session is one task (internal/task) that parks in task.Wait alone. All of its state belongs to that task; what others
// may touch (the cancel key, the backends in use, the tenant of the open transaction) is atomic or behind the session's
// small mutex, and no lock is held across I/O.
package proxy
