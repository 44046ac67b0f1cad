package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
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
	for _, c := range r.server.Clients() {
		if len(c.Hold) > 0 || len(c.Backends) > 0 || c.Channels != 2 && c.PID != other.PgConn().PID() {
			t.Fatalf("%+v", c)
		}
	}
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

// TestListenerLost ends the backend that listens: those who listened by it are told, and nobody else.
func TestListenerLost(t *testing.T) {
	r := faultRig(t, rigOptions{size: 4, wait: 5 * time.Second})
	k := itoa(r.tenants(0, 1)[0])
	listen := func() *pgx.Conn {
		c := r.connect(simpleMode)
		r.exec(c, "set pgdrover.tenant = "+k)
		r.exec(c, "listen news")
		return c
	}
	idle, busy, elsewhere, other := listen(), listen(), r.connect(), r.connect()
	r.exec(elsewhere, "set pgdrover.tenant = "+itoa(r.tenants(1, 1)[0]))
	r.exec(elsewhere, "listen news")
	r.exec(busy, "begin")
	r.terminate(0, "application_name = 'pgdrover listen'")
	_, err := idle.WaitForNotification(t.Context())
	if !isCode(err, "57P01") || !strings.Contains(err.Error(), "shard s1") {
		t.Fatalf("idle: %v", err)
	}
	if got := r.value(busy, "select 1"); got != "1" {
		t.Fatal("the open transaction did not go on")
	}
	if _, err := busy.Exec(t.Context(), "commit"); err == nil {
		_, err = busy.WaitForNotification(t.Context())
		if !isCode(err, "57P01") {
			t.Fatalf("busy: %v", err)
		}
	}
	again := listen()
	r.exec(other, "set pgdrover.tenant = "+k)
	r.exec(other, "notify news, 'again'")
	r.hears(again, "again")
	r.exec(other, "set pgdrover.tenant = "+itoa(r.tenants(1, 1)[0]))
	r.exec(other, "notify news, 'elsewhere'")
	r.hears(elsewhere, "elsewhere")
	if got := r.listeningBackends(0); got != "1" {
		t.Fatalf("%s backends listen", got)
	}
}

// TestListenWhileDown stops the node: LISTEN says so, and works when it is back.
func TestListenWhileDown(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	r := startRig(t, c, rigOptions{size: 4, wait: time.Second})
	conn, idle, other := r.connect(simpleMode), r.connect(), r.connect()
	r.exec(idle, "listen news")
	if err := c.Shards[0].Primary.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.WaitForNotification(t.Context()); !isCode(err, "57P01") {
		t.Fatalf("idle: %v", err)
	}
	for _, sql := range []string{"listen news", "listen news; select 1"} {
		began := time.Now()
		_, err := conn.Exec(t.Context(), sql)
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Severity != "ERROR" || e.Hint == "" || time.Since(began) > listenTime+5*time.Second {
			t.Fatalf("%s: %+v after %s", sql, err, time.Since(began))
		}
	}
	r.exec(conn, "begin")
	if _, err := conn.Exec(t.Context(), "listen news"); err == nil {
		t.Fatal("nobody listens")
	}
	r.refuses(conn, "25P02", "listen news")
	r.exec(conn, "rollback")
	if got := r.server.Clients(); len(got) != 2 || got[0].Channels+got[1].Channels != 0 {
		t.Fatalf("%+v", got)
	}
	if err := c.Shards[0].Primary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually("it can be listened to again", func() bool {
		_, err := conn.Exec(t.Context(), "listen news")
		return err == nil
	})
	r.eventually("it can be notified again", func() bool {
		_, err := other.Exec(t.Context(), "notify news, 'back'")
		return err == nil
	})
	r.hears(conn, "back")
}

// TestListenerStuck stops the node's processes: the wait is bounded.
func TestListenerStuck(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	r := startRig(t, c, rigOptions{size: 4, wait: time.Second})
	conn, other := r.connect(simpleMode), r.connect(simpleMode)
	r.exec(conn, "listen news")
	if err := c.Shards[0].Primary.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Shards[0].Primary.Resume() })
	began := time.Now()
	if _, err := other.Exec(t.Context(), "listen news"); err == nil || time.Since(began) > listenTime+5*time.Second {
		t.Fatalf("%v after %s", err, time.Since(began))
	}
	if _, err := conn.WaitForNotification(t.Context()); !isCode(err, "57P01") {
		t.Fatal(err)
	}
}

// TestTooManyNotifications has more wait for a session than it may leave waiting.
func TestTooManyNotifications(t *testing.T) {
	r := faultRig(t, rigOptions{size: 4, wait: 5 * time.Second})
	k := itoa(r.tenants(0, 1)[0])
	other := r.connect(simpleMode)
	r.exec(other, "set pgdrover.tenant = "+k)
	fill := func(n int) {
		r.exec(other, fmt.Sprintf("select count(pg_notify('flood', i || repeat('x', 7000))) from generate_series(1, %d) i", n))
	}
	dial := func() *pgtest.Client {
		c := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 20 * time.Second})
		for _, sql := range []string{"set pgdrover.tenant = " + k, "listen flood"} {
			if _, err := c.Query(sql); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	reading, inside, silent := dial(), dial(), dial()
	heard := make(chan int)
	go func() {
		n := 0
		defer func() { heard <- n }()
		for n < 2000 {
			frame, err := reading.Read()
			if err != nil {
				return
			}
			if frame[0] == pgwire.MsgNotification {
				n++
			}
		}
	}()
	if _, err := inside.Query("begin"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		fill(100)
	}
	if n := <-heard; n != 2000 {
		t.Fatalf("who reads heard %d of 2000", n)
	}
	for name, c := range map[string]*pgtest.Client{"in a transaction": inside, "does not read": silent} {
		if name == "in a transaction" {
			if err := c.SendBytes(pgwire.AppendQuery(nil, "commit")); err != nil {
				t.Fatal(err)
			}
		}
		code := ""
		for {
			frame, err := c.Read()
			if err != nil {
				break
			}
			if frame[0] == pgwire.MsgErrorResponse {
				code = string(pgwire.ErrorField(frame, pgwire.FieldCode))
			}
		}
		if name == "in a transaction" && code != "54000" {
			t.Fatalf("%s: ended with %q", name, code)
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
