package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

const (
	serverClients = 1100 // connections that a PostgreSQL takes besides those that idle targets keep
	rowsOfTenant  = 1000 // accounts
	tellersEach   = 10
	documentRows  = 10_000 // of table documents, which large results are read from
	documentBytes = 100    // of text in each
)

// serverSettings are PostgreSQL's for a run, on top of pgcluster's own, among them fsync off: nothing here is about disks. Nothing
// vacuums or checkpoints while something is measured.
func serverSettings() map[string]string {
	return map[string]string{
		"max_connections":    strconv.Itoa(serverClients + 2*pgpoolChildren + 10*backends),
		"shared_buffers":     "512MB",
		"autovacuum":         "off",
		"checkpoint_timeout": "1h",
		"max_wal_size":       "8GB",
	}
}

// stage is what targets stand before: PostgreSQL servers on loopback. The first has all rows; the next two are the shards of
// targets that route to two, and each row is on one of them, and four more those of targets that route to four. User "open" logs in without a password, user "app" by SCRAM.
type stage struct {
	cluster     *pgcluster.Cluster
	dir         string // for files of targets; it ends with the stage
	certificate string // PEM files that targets show clients
	key         string
	verifier    string // of app's password for SCRAM, as PostgreSQL keeps it
	tenants     int
	pgbench     pgbench
}

// startStage starts the servers, also those of four shards if they are wanted, and fills the first. Whoever started the stage stops it.
func startStage(ctx context.Context, o options, four bool, progress io.Writer) (*stage, error) {
	programs, err := findPgbench(ctx)
	if err != nil {
		return nil, err
	}
	servers := 1 + 2
	if four {
		servers += 4
	}
	cluster, err := pgcluster.Start(ctx, pgcluster.Config{Shards: servers, Settings: serverSettings(), TLS: true, Log: progress})
	if err != nil {
		return nil, err
	}
	s := &stage{cluster: cluster, dir: filepath.Join(cluster.Dir, "bench"), tenants: o.tenants, pgbench: programs}
	if err := s.prepare(ctx, progress); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *stage) stop() error { return s.cluster.Stop(context.Background()) }

func (s *stage) alone() *pgcluster.Node { return s.cluster.Shards[0].Primary }

func (s *stage) password() string { return s.cluster.Password }

// serverPIDs are the servers' first processes.
func (s *stage) serverPIDs() []int {
	var pids []int
	for _, node := range s.cluster.Nodes() {
		pids = append(pids, node.PID())
	}
	return pids
}

// shardsOf are the servers of two or of four shards.
func (s *stage) shardsOf(shards int) []pgcluster.Shard {
	if shards == 4 {
		return s.cluster.Shards[3:7]
	}
	return s.cluster.Shards[1:3]
}

// oneShard and shardList are the shards of a shard map.
func (s *stage) oneShard() string {
	return fmt.Sprintf("  - {name: s1, primary: {host: 127.0.0.1, port: %d}}\n", s.alone().Port)
}

func (s *stage) shardList(shards int) string {
	var list strings.Builder
	for i, shard := range s.shardsOf(shards) {
		fmt.Fprintf(&list, "  - {name: s%d, primary: {host: 127.0.0.1, port: %d}}\n", i+1, shard.Primary.Port)
	}
	return list.String()
}

func (s *stage) prepare(ctx context.Context, progress io.Writer) error {
	if err := errors.Join(os.Mkdir(s.dir, 0o755), os.Chmod(s.dir, 0o755), s.copyCertificate()); err != nil {
		return fmt.Errorf("prepare the stage: %w", err)
	}
	for _, node := range s.cluster.Nodes() {
		if err := prepareNode(ctx, node); err != nil {
			return err
		}
	}
	rows, err := s.alone().Query(ctx, "select rolpassword from pg_authid where rolname = 'app'")
	if err != nil || len(rows) != 1 {
		return fmt.Errorf("ask for the verifier of user app: %w", err)
	}
	s.verifier = rows[0][0]
	fmt.Fprintf(progress, "%d tenants of %d rows are filled in\n", s.tenants, rowsOfTenant)
	return s.fillAlone(ctx)
}

// copyCertificate gives targets the servers' certificate. Its key is readable by the users that some proxies insist on running as; it
// is worth nothing.
func (s *stage) copyCertificate() error {
	s.certificate, s.key = filepath.Join(s.dir, "server.crt"), filepath.Join(s.dir, "server.key")
	for from, to := range map[string]string{"server.crt": s.certificate, "server.key": s.key} {
		content, err := os.ReadFile(filepath.Join(s.alone().DataDir, from))
		if err != nil {
			return err
		}
		if err := errors.Join(os.WriteFile(to, content, 0o644), os.Chmod(to, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// prepareNode makes the tables, and the user who needs no password.
func prepareNode(ctx context.Context, node *pgcluster.Node) error {
	rules := "host app open 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	// The file exists, so it keeps its owner.
	if err := os.WriteFile(filepath.Join(node.DataDir, "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		return fmt.Errorf("let clients in to %s: %w", node.Name(), err)
	}
	if _, err := node.Query(ctx, "create role open login in role app; select pg_reload_conf()"); err != nil {
		return err
	}
	return asApp(ctx, node.URL(), `
create table branches (tenant_id bigint primary key, balance bigint not null);
create table tellers (tenant_id bigint, id bigint, balance bigint not null, primary key (tenant_id, id));
create table accounts (tenant_id bigint, id bigint, balance bigint not null, filler text not null, primary key (tenant_id, id));
create table history (tenant_id bigint not null, teller bigint, account bigint, delta bigint, at timestamptz default now());
create table documents (id bigint primary key, body text not null);
create table incoming (id bigint, body text);`)
}

// fillAlone fills the server that has all rows.
func (s *stage) fillAlone(ctx context.Context) error {
	fill := fmt.Sprintf(`
insert into branches select t, 0 from generate_series(1, %[1]d) t;
insert into tellers select t, i, 0 from generate_series(1, %[1]d) t, generate_series(1, %[2]d) i;
insert into accounts select t, i, 0, repeat('x', 84) from generate_series(1, %[1]d) t, generate_series(1, %[3]d) i;
insert into documents select i, repeat('x', %[4]d) from generate_series(1, %[5]d) i;`,
		s.tenants, tellersEach, rowsOfTenant, documentBytes, documentRows)
	if err := asApp(ctx, s.alone().URL(), fill); err != nil {
		return err
	}
	return settle(ctx, s.alone())
}

// fillShards fills a number of shards through a target that routes to them, a statement for each tenant and table, so that every row is where
// the target looks for it.
func (s *stage) fillShards(ctx context.Context, shards int, url string) error {
	conn, err := pgcluster.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close()
	for tenant := 1; tenant <= s.tenants; tenant++ {
		for _, insert := range []string{
			fmt.Sprintf("insert into branches (tenant_id, balance) values (%d, 0)", tenant),
			fmt.Sprintf("insert into tellers (tenant_id, id, balance) select %d, i, 0 from generate_series(1, %d) i", tenant, tellersEach),
			fmt.Sprintf("insert into accounts (tenant_id, id, balance, filler) select %d, i, 0, repeat('x', 84) from generate_series(1, %d) i",
				tenant, rowsOfTenant),
		} {
			if _, err := conn.Query(ctx, insert); err != nil {
				return fmt.Errorf("fill the shards: %w", err)
			}
		}
	}
	for _, shard := range s.shardsOf(shards) {
		if err := settle(ctx, shard.Primary); err != nil {
			return err
		}
	}
	return nil
}

// settle leaves nothing for later that a measurement might see.
func settle(ctx context.Context, node *pgcluster.Node) error {
	for _, statement := range []string{"vacuum analyze", "checkpoint"} {
		if _, err := node.Query(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// asApp runs statements as the application's user.
func asApp(ctx context.Context, url, statements string) error {
	conn, err := pgcluster.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Query(ctx, statements)
	return err
}
