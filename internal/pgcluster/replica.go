package pgcluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
)

// clone makes a replica of a running primary with a base backup, and starts it.
// The primary keeps what the replica needs in a slot.
func (n *Node) clone(ctx context.Context, primary *Node) error {
	cmd := n.account.command(filepath.Dir(n.DataDir), n.bin.path("pg_basebackup"),
		"--pgdata="+n.DataDir, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
		"--create-slot", "--slot=replica_"+strconv.Itoa(n.Replica),
		fmt.Sprintf("--dbname=host=%s port=%d user=%s application_name=%s", primary.Host, primary.Port, superuser, n.name))
	cmd.Env = append(cmd.Env, "PGPASSWORD="+n.login.superPassword)
	if err := run(ctx, cmd); err != nil {
		return fmt.Errorf("copy %s to %s: %w", primary.name, n.name, err)
	}
	return n.launch(ctx, 0)
}

// awaitStreaming returns when count replicas receive WAL from the primary.
func (n *Node) awaitStreaming(ctx context.Context, count int) error {
	want := strconv.Itoa(count)
	return n.await(ctx, "select count(*) from pg_stat_replication where state = 'streaming' and application_name <> 'pg_basebackup'",
		func(value string) bool { return value == want })
}

// WaitReplicas returns when every replica shows what its primary had written
// when WaitReplicas was called.
func (c *Cluster) WaitReplicas(ctx context.Context) error {
	for _, shard := range c.Shards {
		if len(shard.Replicas) == 0 {
			continue
		}
		rows, err := shard.Primary.Query(ctx, "select pg_current_wal_lsn()")
		if err != nil {
			return err
		}
		for _, replica := range shard.Replicas {
			sql := fmt.Sprintf("select pg_last_wal_replay_lsn() >= '%s'::pg_lsn", rows[0][0])
			if err := replica.await(ctx, sql, func(value string) bool { return value == "t" }); err != nil {
				return err
			}
		}
	}
	return nil
}
