// Package cache keeps results of one database's reads: as stored bytes in this
// process (L1) and in Redis (L2), so that a hit is one write to the client.
//
// It knows no SQL and no protocol. The proxy decides what may be cached, builds a
// Key from everything that can change the answer, and names in Deps the tenant and
// the tables that the answer hangs on. A lookup goes:
//
//	body, ok := c.L1(&k, &d)                 // never blocks
//	t := c.Begin(&d)                         // on a miss: note the moment
//	body, ok = c.L2(ctx, &k, &d, &t)         // blocks, shortly: in await
//	… read from the primary, answer the client …
//	c.Store(&t, &k, &d, body, ttl, empty)    // never blocks
//
// and a write as described at Mark: Dirty and Publish before it is sent, Commit (or
// Abort) and Publish before the client hears of its outcome.
//
// # What is promised
//
// A write here is one that goes through the calls above; others are bounded by the
// table's TTL alone. Fills must come from a primary.
//
//   - In one proxy: a lookup that begins after a write's client has heard never
//     returns anything older than that write, whatever Redis does.
//   - While a write is under way (from Dirty to the end of its publication) results
//     that depend on it are neither served nor stored in the proxy that writes; in
//     others they are not served from L2.
//   - Across proxies that all reach Redis: a lookup that begins L1Age (1s) after a
//     write's client has heard never returns anything older. Below that age another
//     proxy's L1 may, its L2 lookup never does.
//   - A proxy that loses Redis stops reading L2 at once. Its writes wait
//     WriteTimeout (50ms) at most until one of them has timed out, and then not at
//     all. Other proxies that still reach the same Redis may read from L2 what such a
//     write overtook for one and a half leases (3s) at most, not counting time in
//     which Redis answers nobody, and from L1 for L1Age longer; what could be marked
//     dirty before the connection went is not read from L2 at all. Then they begin a
//     new incarnation; the lost proxy does too, sooner, when it is back before that.
//   - A proxy that has never reached Redis since its start is not waited for: what
//     it writes is bounded for others by the TTL.
//   - Redis that forgets (FLUSHALL, a restart with or without its file, a failover
//     that cuts connections, eviction) costs misses and never shows an old result.
//   - Without Redis each proxy knows its own writes only: with several proxies the
//     TTL bounds the rest. Proxies that share a Redis must list the same tables.
//
// # How
//
// Generations. Four scopes: everything, a table for all tenants, a tenant, and a
// (tenant, table). Each write bumps the narrowest scope that covers it; a result
// depends on all four of its own. In the process a scope is a number that only
// grows; an entry holds the largest number over its scopes as it was before the read
// was sent (its stamp) and is served while that is still the largest and no writer
// is under way. Scopes share a table of fixed size, which can cost misses only.
//
// In Redis a scope is a random token, replaced by every write, beside the count of
// writers under way. An entry holds the tokens that were read, in the lookup that
// missed, before PostgreSQL was asked. A lookup reads entry, tokens and incarnation
// in one command and serves the entry only if they are equal. A token that was
// evicted is made anew with a value never used before.
//
// Incarnations. All keys but two carry the incarnation, a random value bound to the
// run id of the Redis process. It is replaced, which makes all that was stored
// unreachable, when it is missing, when Redis restarted (its file may be older than
// the last bump), when a member's lease ended without its leaving, and when a proxy
// comes back that had to let a write pass unannounced. Each proxy renews its lease
// every eighth of it and reads L2 only if it did so within the last half: whoever
// still reads has therefore noticed whoever fell silent. One TCP connection carries
// everything, and a new one is taken into use only after asking for the run id.
//
// L1 entries expire L1Age after the read (or the L2 lookup) began that filled them,
// with Redis; without it, with their TTL. TTLs are spread by a tenth either way.
// Results without rows live a quarter of the TTL.
//
// Limits of this form: Redis is one server (no cluster, no Sentinel). A proxy that
// is killed voids L2 when its lease ends; one that is closed does not. Redis's wall
// clock measures leases.
package cache
