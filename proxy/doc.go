// Package proxy is the life of a client connection: admit, authenticate, route, acquire, relay, release.
//
// The path of a query, one file a step:
//
//   - Admit: `proxy/server.go` accepts, `proxy/address.go` counts what comes from each address, `proxy/startup.go` reads the first
//     packets, `proxy/switches.go` their options, `proxy/directtls.go` and `proxy/certificate.go` have TLS.
//   - Authenticate: `proxy/rule.go` chooses the method, `proxy/auth.go` carries it out with `proxy/scram.go`, `proxy/md5.go`,
//     `proxy/certificate.go` or `proxy/jwt.go` (keys: `proxy/keyset.go`); `proxy/authquery.go` finds users in a database;
//     `proxy/turn.go` bounds how many logins compute at once.
//   - Take a statement: `proxy/session.go` runs the session; `proxy/query.go` has the simple protocol, `proxy/extended.go` the
//     extended one, with `proxy/batch.go`, `proxy/prepared.go`, `proxy/portal.go` and `proxy/ownportal.go`; `proxy/wording.go` has texts that name
//     prepared statements, `proxy/prepare.go` PREPARE by SQL, `proxy/shape.go` results that have changed since; `proxy/local.go` and
//     `proxy/own.go` have what PgDrover answers itself, `proxy/console.go` the console, with
//     `proxy/consolebatch.go` and `proxy/errand.go`.
//   - Route: `proxy/route.go` asks the router; `proxy/gate.go` waits while `proxy/change.go` and `proxy/survey.go` change placement.
//   - `proxy/cache.go` answers from the cache, and announces writes to it.
//   - Acquire: `proxy/enlist.go` gets a backend, which `proxy/link.go` keeps, and prepares it: settings (`proxy/settings.go`,
//     `proxy/appname.go`) and what the transaction began with (`proxy/prelude.go`).
//   - Relay: `proxy/relay.go` moves the answer of one shard, `proxy/frame.go` looks at it, `proxy/reply.go` keeps the order of
//     replies, `proxy/params.go` reports settings, `proxy/copy.go` has COPY; `proxy/scatter.go` runs a statement on all shards.
//   - Release: `proxy/transaction.go` follows the transaction, `proxy/early.go` has what comes before its first shard or concerns
//     all, `proxy/reset.go` has RESET, `proxy/endtransaction.go` ends it, `proxy/holds.go` knows what
//     keeps a backend, `proxy/cleanse.go` cleans what unseen code may have left.
//   - When it fails: `proxy/fail.go`, `proxy/undo.go`, `proxy/lost.go`, `proxy/again.go`, `proxy/repair.go`, `proxy/gone.go`, `proxy/cancel.go`
//     with `proxy/canceldesk.go` and `proxy/peer.go`;
//     `proxy/errors.go` says what the client is told.
//
// For how long a session has a backend says `proxy/mode.go`: one that has a single backend for good is in `proxy/direct.go`, one that
// replicates in `proxy/replication.go`.
//
// Beside it: `proxy/database.go` is a database's placement in force, `proxy/config.go` what a server runs with, `proxy/clients.go`,
// `proxy/metrics.go` and `proxy/usage.go` what the operator sees of sessions, `proxy/pause.go` and `proxy/kill.go` what the operator
// orders.
//
// A session is one task (internal/task) that parks in task.Wait alone. All of its state belongs to that task; what others
// may touch (the cancel key, the backends in use, the tenant of the open transaction) is atomic or behind the session's
// small mutex, and no lock is held across I/O.
package proxy
