// Package pool keeps backends: it dials them, checks them, chooses a replica, gives them out and takes them back.
//
// The path of a backend, one file a step: `pool/cluster.go` holds the pools of one database, `pool/topology.go` is its view
// of one shard map, `pool/policy.go` chooses the node, `pool/pool.go` gives a backend at once or queues the request
// (`pool/request.go`, `pool/queue.go`), `pool/keeper.go` decides when to dial and `pool/dial.go` does, `pool/exchange.go` makes one for its holder alone, `pool/backend.go` is
// what the holder has in hands, `pool/cancel.go` interrupts what it runs. Beside it: `pool/wiring.go` connects and encrypts sockets, `pool/health.go` probes nodes,
// `pool/trouble.go` decides what a failure means for those who wait, `pool/janitor.go` ends what is idle or old,
// `pool/control.go` runs control queries (`pool/spare.go` keeps their connections a while), `pool/stats.go` shows all.
//
// Backends are logged in as the user of the configuration, or as a client's own (`pool/login.go`): its pools are Nodes of their own, beside
// those that are probed. `pool/handshake.go` and `pool/scram.go` log in with the keys of the client's own SCRAM login.
//
// A pool is one node, one database and one login. Each has one mutex, which is never held across I/O or a callback; the lock
// order is Cluster before Node. Acquire and Release never block and allocate nothing.
//
// Beside its backends a Cluster keeps one connection to each node, for probes, and for a while those that it had control queries on.
//
// # When a node cannot be dialled
//
// Dials are repeated with growing pauses (50 ms to 1 s) for as long as somebody waits. A node that is unreachable, starting or
// stopping is given ConnectTimeout, counted from the start of the first attempt that failed: those who wait for it then get an
// error that names it (08006 or 57P03), and so does at once everybody who comes later, until a probe succeeds. So a server
// that restarts within ConnectTimeout costs its clients a wait and no error. A login that is refused (class 28, 3D000 and the
// like) does not mend itself: those who wait get the error at once if the node has no backend that could serve them.
// A node without a free connection slot (class 53) counts as up.
//
// A replica that is down is passed over at once; requests that wait for it are queued elsewhere, at the place in the line
// that their waiting time gives them.
package pool
