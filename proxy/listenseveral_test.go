package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/shardmap"
)

// TestListenOnSeveralShards has sessions with and without a tenant listen.
func TestListenOnSeveralShards(t *testing.T) {
	r := severalRig(t, sharedCluster(t), 10*time.Second)
	tenant := [2]string{itoa(r.tenants(0, 1)[0]), itoa(r.tenants(1, 1)[0])}
	connect := func(tenant string) *pgx.Conn {
		c := r.connect(simpleMode)
		if tenant != "" {
			r.exec(c, "set pgdrover.tenant = "+tenant)
		}
		return c
	}
	all, first, second := connect(""), connect(tenant[0]), connect(tenant[1])
	for _, c := range []*pgx.Conn{all, first, second} {
		r.exec(c, "listen news")
	}
	if got := r.listeningBackends(0) + r.listeningBackends(1); got != "11" {
		t.Fatalf("%s backends listen", got)
	}
	for i, ear := range []*pgx.Conn{first, second} {
		other := connect(tenant[i])
		r.exec(other, "notify news, 'tenant'")
		r.hears(ear, "tenant")
		r.hears(all, "tenant")
		r.exec(connect(""), "/* pgdrover: tenant="+tenant[i]+" */ notify news, 'hint'")
		r.hears(ear, "hint")
		r.hears(all, "hint")
	}
	r.exec(connect(""), "notify news, 'home'")
	home := []*pgx.Conn{first, second}[r.db.place.Load().home()]
	r.hears(home, "home")
	r.hears(all, "home")

	r.exec(all, "begin")
	for _, k := range tenant {
		r.exec(all, "insert into orders values ("+k+", 1)")
		r.exec(all, "rollback; begin")
	}
	r.exec(all, "set local pgdrover.tenant = "+tenant[1])
	r.exec(all, "notify news, 'own'")
	r.exec(all, "commit")
	if n := r.hears(all, "own"); n.PID != all.PgConn().PID() {
		t.Fatal("its own is another's")
	}
	if n := r.hears(second, "own"); n.PID == second.PgConn().PID() {
		t.Fatal("another's is its own")
	}

	r.exec(all, "create table news (tenant_id bigint); listen ddl")
	r.exec(all, "drop table news")
	for i := range 2 {
		r.exec(connect(tenant[i]), "notify ddl, 'made'")
		r.hears(all, "made")
	}
	for _, c := range []*pgx.Conn{r.connect(), r.connect()} { // a backend that LISTENed is nobody's
		for _, k := range tenant {
			r.exec(c, "set pgdrover.tenant = "+k)
			if got := r.value(c, "select count(*) from pg_listening_channels()"); got != "0" {
				t.Fatalf("%s channels", got)
			}
		}
	}
	r.exec(all, "begin")
	r.exec(all, "listen more")
	r.exec(all, "unlisten news")
	r.exec(all, "select count(*) from countries")
	r.exec(all, "set local pgdrover.tenant = "+tenant[1])
	r.exec(all, "insert into orders values ("+tenant[1]+", 1)")
	r.exec(all, "commit")
	for i := range 2 {
		r.exec(connect(tenant[i]), "notify news, 'unheard'")
		r.exec(connect(tenant[i]), "notify more, 'more'")
		r.hears(all, "more")
	}
	for _, c := range []*pgx.Conn{first, second} {
		r.hears(c, "unheard")
		r.hearsNothing(c)
	}
	r.exec(all, "discard all")
	r.exec(connect(tenant[1]), "notify more")
	r.hearsNothing(all)
}

// TestListenFollowsTheMap moves partitions and a primary while sessions listen.
func TestListenFollowsTheMap(t *testing.T) {
	r := replicaRig(t, rigOptions{})
	r.mustChange(r.thirdShard())
	third := r.file
	file, err := shardmap.Parse("shardmap.yaml", []byte(third))
	if err != nil {
		t.Fatal(err)
	}
	conn := r.connect()
	for _, sql := range demoSchema {
		r.exec(conn, strings.Replace(sql, "create table", "create table if not exists", 1))
	}
	lock, _, err := shardmap.Assign(file, r.db.Map().Lock())
	if err != nil {
		t.Fatal(err)
	}
	next, err := shardmap.New(file, lock)
	if err != nil {
		t.Fatal(err)
	}
	k := int64(1)
	for next.Shard(next.Locate(shardmap.BigintKey(k))).Name != "s0" {
		k++
	}
	all, tenant, still, other := r.connect(), r.connect(), r.connect(), r.connect()
	stays := int64(1)
	for next.Shard(next.Locate(shardmap.BigintKey(stays))).Name != "s2" {
		stays++
	}
	r.exec(tenant, "set pgdrover.tenant = "+itoa(k))
	r.exec(still, "set pgdrover.tenant = "+itoa(stays))
	for _, c := range []*pgx.Conn{all, tenant, still} {
		r.exec(c, "listen news")
	}
	notify := func(k int64, payload string) {
		r.exec(other, "set pgdrover.tenant = "+itoa(k))
		r.exec(other, "notify news, '"+payload+"'")
	}
	notify(k, "before")
	r.hears(all, "before")
	r.hears(tenant, "before")
	if err := r.db.Change(t.Context(), next, r.server); err != nil {
		t.Fatal(err)
	}
	notify(k, "after")
	r.hears(all, "after")
	r.hears(tenant, "after")
	notify(stays, "still")
	r.hears(still, "still")
	r.hears(all, "still")
	r.hearsNothing(tenant)

	// The primary of s2 is known by another name from here on.
	host, alias := r.cluster.Shards[1].Primary.Host, "localhost"
	if host == alias {
		alias = "127.0.0.1"
	}
	r.file = strings.Replace(third, "- name: s2\n    primary: {host: "+host, "- name: s2\n    primary: {host: "+alias, 1)
	if r.file == third {
		t.Fatal("no primary to move")
	}
	if err := r.db.Change(t.Context(), r.parse(r.file, lock), r.server); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*pgx.Conn{still, all} {
		if _, err := c.WaitForNotification(t.Context()); !isCode(err, "57P01") || !strings.Contains(err.Error(), "shard s2") {
			t.Fatal(err)
		}
	}
	again := r.connect()
	r.exec(again, "listen news")
	notify(k, "third")
	r.hears(again, "third")
	r.hears(tenant, "third")
	notify(stays, "moved")
	r.hears(again, "moved")
	r.eventually("nobody listens where the primary was", func() bool { return r.listeningBackends(1) == "1" })
}
