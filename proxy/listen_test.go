package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// listeningBackends is how many backends listen for sessions on a shard.
func (r *rig) listeningBackends(shard int) string {
	r.t.Helper()
	return r.on(r.cluster.Shards[shard].Primary, "select count(*) from pg_stat_activity where application_name = 'pgdrover listen'")
}

// hears waits for a notification, which has to have a payload.
func (r *rig) hears(c *pgx.Conn, payload string) *pgconn.Notification {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	n, err := c.WaitForNotification(ctx)
	if err != nil || n.Payload != payload {
		r.t.Fatalf("got %+v, %v; want %q", n, err, payload)
	}
	return n
}

// hearsNothing checks that no notification has come. A statement brings all that there are.
func (r *rig) hearsNothing(c *pgx.Conn) {
	r.t.Helper()
	r.value(c, "select 1")
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	if n, err := c.WaitForNotification(ctx); err == nil {
		r.t.Fatalf("heard %+v", n)
	}
}

// TestListenersShareABackend has many clients listen, with a pool of two backends.
func TestListenersShareABackend(t *testing.T) {
	r := faultRig(t, rigOptions{size: 2, wait: 5 * time.Second})
	home := r.db.place.Load().home()
	conns := make([]*pgx.Conn, 40)
	for i := range conns {
		conns[i] = r.connect(simpleMode)
		r.exec(conns[i], "set pgdrover.tenant = "+itoa(r.tenants(home, 1)[0]))
		r.exec(conns[i], fmt.Sprintf("listen own%d; listen all_of_them", i))
	}
	other := r.connect()
	if got := r.listeningBackends(home) + " " + r.listeningBackends(1-home); got != "1 0" {
		t.Fatalf("%s backends listen", got)
	}
	await(t, "nobody keeps a backend", func() bool {
		return !slices.ContainsFunc(r.server.Clients(), func(c Client) bool {
			return len(c.Hold) > 0 || len(c.Backends) > 0 || c.Channels != 2 && c.PID != other.PgConn().PID()
		})
	})
	apart := 0
	for _, b := range r.db.Cluster().Backends() {
		if b.State == "listening" {
			apart++
		}
	}
	if n := r.db.Cluster().Nodes()[0].Stats(); apart != 1 || n.Busy > 0 || n.Idle > 2 {
		t.Fatalf("%d apart, %+v", apart, n)
	}
	r.exec(other, "notify all_of_them, 'all'")
	for i, c := range conns {
		r.hears(c, "all")
		r.exec(other, fmt.Sprintf("notify own%d, 'own'", i))
		r.hears(c, "own")
	}
	for _, c := range conns {
		r.exec(c, "unlisten *")
	}
	for _, c := range r.server.Clients() {
		if c.Channels != 0 {
			t.Fatalf("%+v", c)
		}
	}
}

// TestOwnNotifications has clients tell their own notifications from others' by the process id, while they share one backend.
func TestOwnNotifications(t *testing.T) {
	for _, size := range []int{1, 3} {
		r := faultRig(t, rigOptions{size: size, wait: 10 * time.Second})
		k := itoa(r.tenants(1, 1)[0])
		ears := []*pgx.Conn{r.connect(simpleMode), r.connect()}
		deaf := []*pgx.Conn{r.connect(simpleMode), r.connect()}
		all := append(ears, deaf...)
		for _, c := range all {
			r.exec(c, "set pgdrover.tenant = "+k)
		}
		for _, c := range ears {
			r.exec(c, "listen news")
		}
		for i := range 200 {
			c := all[rand.IntN(len(all))]
			switch rand.IntN(3) {
			case 0:
				r.exec(c, fmt.Sprintf("notify news, '%d'", i))
			case 1:
				r.exec(c, "select pg_notify('news', $1)", itoa(int64(i)))
			default:
				r.exec(c, "begin")
				r.exec(c, fmt.Sprintf("notify news, '%d'", i))
				r.exec(c, "commit")
			}
			for _, e := range ears {
				n := r.hears(e, itoa(int64(i)))
				if own := n.PID == e.PgConn().PID(); own != (e == c) {
					t.Fatalf("notification %d of pid %d, to pid %d: own %t", i, n.PID, e.PgConn().PID(), own)
				}
			}
		}
	}
}

// TestNothingIsMissed has clients listen and leave while others notify: what is notified after a LISTEN was acknowledged is heard, in
// order, once.
func TestNothingIsMissed(t *testing.T) {
	r := faultRig(t, rigOptions{size: 5, wait: 20 * time.Second})
	k := itoa(r.tenants(0, 1)[0])
	var last [4]struct {
		sync.Mutex
		n int
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	for ch := range last {
		c := r.connect(simpleMode)
		r.exec(c, "set pgdrover.tenant = "+k)
		group.Go(func() {
			for i := 1; ctx.Err() == nil; i++ {
				if _, err := c.Exec(context.Background(), fmt.Sprintf("notify ch%d, '%d'", ch, i)); err != nil {
					t.Errorf("notify: %v", err)
					return
				}
				last[ch].Lock()
				last[ch].n = i
				last[ch].Unlock()
			}
		})
	}
	var rounds sync.WaitGroup
	for e := range 6 {
		c := r.connect([]string{simpleMode, "default_query_exec_mode=exec"}[e%2])
		r.exec(c, "set pgdrover.tenant = "+k)
		rounds.Go(func() {
			for round := range 25 {
				ch := (e + round) % len(last)
				if err := listenFor(c, ch, round%3 == 0, func() int {
					last[ch].Lock()
					defer last[ch].Unlock()
					return last[ch].n
				}); err != nil {
					t.Errorf("client %d, round %d: %v", e, round, err)
					return
				}
			}
		})
	}
	rounds.Wait()
	stop()
	group.Wait()
}

// TestNothingIsMissedBeforeUnlisten has clients UNLISTEN as soon as another has notified: they are told of it, as PostgreSQL tells
// them, and of nothing that was notified later.
func TestNothingIsMissedBeforeUnlisten(t *testing.T) {
	r := faultRig(t, rigOptions{size: 2, wait: 20 * time.Second})
	k := itoa(r.tenants(0, 1)[0])
	other := r.connect(simpleMode)
	for _, mode := range []string{simpleMode, "default_query_exec_mode=exec"} {
		c := r.connect(mode)
		for _, conn := range []*pgx.Conn{c, other} {
			r.exec(conn, "set pgdrover.tenant = "+k)
		}
		for i := range 60 {
			ends := [][]string{{"unlisten news"}, {"unlisten *"}, {"discard all"}, {"begin", "select 1", "unlisten news", "commit"}}[i%4]
			r.exec(c, "listen news")
			if i%2 == 0 {
				r.exec(c, "listen more")
			}
			r.exec(other, fmt.Sprintf("notify news, '%d'", i))
			r.exec(c, ends[0])
			if len(ends) > 1 {
				r.exec(other, "notify news, 'inside'")
			}
			for _, sql := range ends[1:] {
				r.exec(c, sql)
			}
			r.exec(other, "notify news, 'late'")
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what there is has come with the answer
			if n, err := c.WaitForNotification(ctx); err != nil || n.Payload != itoa(int64(i)) {
				t.Fatalf("%s, round %d, %v: got %+v, %v", mode, i, ends, n, err)
			}
			r.hearsNothing(c)
			r.exec(c, "unlisten *")
			r.exec(c, "set pgdrover.tenant = "+k)
		}
	}
}

// listenFor listens to a channel for some notifications, which have to come without a gap from the first one on that was sent after
// the LISTEN was acknowledged; sent is the last that is known to have been committed.
func listenFor(c *pgx.Conn, ch int, inside bool, sent func() int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	before := sent()
	sql := []string{fmt.Sprintf("listen ch%d", ch)}
	if inside {
		sql = []string{"begin", "select 1", sql[0], "commit"}
	}
	for _, q := range sql {
		if _, err := c.Exec(ctx, q); err != nil {
			return err
		}
	}
	after := sent()
	next := 0
	for range 20 {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var got int
		if _, err := fmt.Sscan(n.Payload, &got); err != nil || n.Channel != fmt.Sprintf("ch%d", ch) {
			return fmt.Errorf("%+v", n)
		}
		if next == 0 && (got > after+2 || got <= before) || next != 0 && got != next {
			return fmt.Errorf("got %d, want %d; %d were committed before the LISTEN and %d after it", got, next, before, after)
		}
		next = got + 1
	}
	_, err := c.Exec(ctx, "unlisten *")
	for err == nil { // what came before that
		short, done := context.WithTimeout(ctx, time.Millisecond)
		_, none := c.WaitForNotification(short)
		done()
		if none != nil {
			break
		}
	}
	return err
}

// TestListenInFunctions has functions LISTEN: one that is declared to need its backend hears, what another has done is gone.
func TestListenInFunctions(t *testing.T) {
	r := startRig(t, sharedPrimaries(t, 1), rigOptions{size: 2, wait: 20 * time.Second, schema: []string{
		"create function tune_in() returns void language plpgsql as $$ begin listen news; end $$",
		"create function leave_on() returns void language plpgsql as $$ begin listen news; end $$",
	}})
	opt := *r.db.options()
	opt.Holding = func(_, name string) bool { return name == "tune_in" }
	r.db.Adjust(opt)
	held, other := r.connect(simpleMode), r.connect(simpleMode)
	r.exec(held, "select tune_in()")
	r.exec(other, "select leave_on()")
	r.exec(other, "notify news, 'one'")
	r.hears(held, "one")
	r.hearsNothing(other)
	r.exec(held, "notify news, 'own'")
	if n := r.hears(held, "own"); n.PID != held.PgConn().PID() {
		t.Fatal("its own is another's")
	}
	r.exec(held, "listen news")
	r.exec(other, "notify news, 'once'")
	r.hears(held, "once")
	r.hearsNothing(held)
	r.exec(held, "discard all")
	r.exec(other, "notify news, 'unheard'")
	r.hearsNothing(held)
}
