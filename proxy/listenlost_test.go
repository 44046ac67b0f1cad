package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

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

// TestListenBeforeALoss has a LISTEN be committed in a string whose backend is lost: it is in force when the client hears of that.
func TestListenBeforeALoss(t *testing.T) {
	r := faultRig(t, rigOptions{size: 4, wait: 5 * time.Second})
	k := itoa(r.tenants(0, 1)[0])
	conn, other := r.connect(simpleMode), r.connect(simpleMode)
	for _, c := range []*pgx.Conn{conn, other} {
		r.exec(c, "set pgdrover.tenant = "+k)
	}
	r.exec(other, "listen news") // the listener is there, and what comes before the LISTEN of conn is not for it
	result := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "begin; listen news; commit; select pg_sleep(20)")
		result <- err
	}()
	r.eventually("it sleeps", func() bool {
		return r.on(r.cluster.Shards[0].Primary, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
	})
	r.exec(other, "notify news, 'early'")
	r.terminate(0, "wait_event = 'PgSleep'")
	if err := <-result; !isCode(err, "57P01") {
		t.Fatal(err)
	}
	r.exec(other, "notify news, 'heard'")
	r.hears(conn, "heard")
}

// TestListenWhileDown stops the node: LISTEN says so, and works when it is back.
func TestListenWhileDown(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
