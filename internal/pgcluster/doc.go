// Package pgcluster runs real PostgreSQL shards with streaming replicas from
// the binaries of this machine, on loopback, in a directory of its own. The
// tests use it, and so does `pgdrover dev`.
//
// Nothing outlives a Cluster: Stop ends every process and removes the
// directory, also after a failure half-way. When the program itself is killed
// with no chance to stop anything, the kernel ends the servers (Linux), and a
// small shell process that waits for the end of its standard input removes
// what is left (everywhere).
//
// With PGDROVER_TEST_CLUSTER=compose Start hands out the nodes of
// deploy/compose.yaml instead of starting any: node addresses come from here
// and from nowhere else.
package pgcluster
