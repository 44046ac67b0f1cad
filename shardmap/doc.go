// Package shardmap holds placement: which shard a tenant lives on, and why.
//
// A tenant key hashes to a partition with PostgreSQL's own extended hash, a
// partition has one owner, and a pin overrides both for one tenant:
//
//	key → Hash → Partition → Owner → shard
//	key → Pin  ────────────────────▶ shard
//
// Intent is shardmap.yaml ([File]), state is shardmap.lock ([Lock]); [New] puts
// the two together into a [Map], which is immutable, safe for concurrent use,
// and answers without allocating. [Plan] and [Assign] are the planner: they
// propose owners, the lock records them, and only the lock is believed.
//
// The package is values in and values out; the only file it touches is the
// lock, in lockfile.go.
package shardmap
