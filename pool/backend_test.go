package pool

import (
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

func TestLastUsedFirstButAffinityBefore(t *testing.T) {
	cfg := quick()
	_, _, top := single(t, cfg)
	a, b, c := mustAcquire(t, top, Primary), mustAcquire(t, top, Primary), mustAcquire(t, top, Primary)
	a.Affinity, b.Affinity, c.Affinity = 7, 7, 9
	a.Likeness, b.Likeness, c.Likeness = 1, 1, 2
	a.Release()
	b.Release()
	c.Release()
	for _, step := range []struct {
		affinity, likeness uint64
		want               *Backend
	}{{0, 0, c}, {7, 0, b}, {8, 0, b}, {9, 0, c}, {7, 2, b}, {0, 0, b}, {8, 2, c}, {0, 1, b}, {9, 1, c}, {8, 1, b}, {8, 3, b}} {
		s := newSeeker()
		s.Affinity, s.Likeness = step.affinity, step.likeness
		got, err := top.Acquire(&s.Request, 0, Primary)
		if err != nil || got != step.want {
			t.Fatalf("affinity %d, likeness %d: got serial %d, %v", step.affinity, step.likeness, got.Serial(), err)
		}
		got.Release()
	}
}

func TestHolderFindsNotesOfTheOneBefore(t *testing.T) {
	_, _, top := single(t, quick())
	b := mustAcquire(t, top, Primary)
	b.Proxy = "notes"
	b.Release()
	again := mustAcquire(t, top, Primary)
	if again.Proxy != "notes" || again.PID == 0 || len(again.Secret) != 4 || again.Shard() != "s1" || again.Role() != Primary || again.Age() <= 0 {
		t.Fatalf("%+v", again)
	}
	again.Release()
}

func TestDeadIdleBackendIsReplaced(t *testing.T) {
	f, c, top := single(t, quick())
	a, b := mustAcquire(t, top, Primary), mustAcquire(t, top, Primary)
	a.Release()
	b.Release()
	f.hangUp(b.PID)
	await(t, "the end has arrived", func() bool { return !b.Conn.Quiet() })
	if got := mustAcquire(t, top, Primary); got != a {
		t.Fatal("want the living one")
	} else {
		got.Release()
	}
	if got := c.Stats()[0].Counts.Destroyed[reasonDied]; got != 1 {
		t.Fatalf("%d are counted as died", got)
	}
}

func TestGrantedBackendThatDiesIsReplaced(t *testing.T) {
	cfg := quick()
	cfg.Size = 1
	f, _, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	s := queued(t, top, Primary)
	b.Release()
	f.hangUp(b.PID)
	await(t, "the end has arrived", func() bool { return !b.Conn.Quiet() })
	got, err := s.wait()
	if err != nil || got == b {
		t.Fatalf("got %v, %v", got, err)
	}
	got.Release()
}

func TestWhatAnIdleBackendMaySay(t *testing.T) {
	f, _, top := single(t, quick())
	b := mustAcquire(t, top, Primary)
	b.Release()
	aside := pgwire.AppendNotice(nil, &pgwire.Error{Code: "00000", Message: "by the way"})
	aside = pgwire.AppendParameterStatus(aside, "client_encoding", "LATIN1")
	f.say(b.PID, pgwire.AppendParameterStatus(aside, "new_one", "1"))
	await(t, "it has arrived", func() bool { return b.Conn.Fill() })
	if got := mustAcquire(t, top, Primary); got != b {
		t.Fatal("the backend was given up")
	}
	reported := map[string]string{}
	for _, p := range b.Params {
		reported[p.Name] = p.Value
	}
	if reported["client_encoding"] != "LATIN1" || reported["new_one"] != "1" || reported["server_version"] != "15.0" {
		t.Fatalf("%v", reported)
	}
	b.Release()

	f.say(b.PID, pgwire.AppendError(nil, &pgwire.Error{Severity: "FATAL", Code: "57P01", Message: "terminating"}))
	await(t, "it has arrived", func() bool { return b.Conn.Fill() })
	got := mustAcquire(t, top, Primary)
	if got == b {
		t.Fatal("a backend that is being terminated was given out")
	}
	got.Release()

	f.say(got.PID, []byte("S\x00\x00\x00\x20half"))
	await(t, "it has arrived", func() bool { return got.Conn.Fill() })
	last := mustAcquire(t, top, Primary)
	if last == got {
		t.Fatal("a backend in the middle of a message was given out")
	}
	last.Release()
}

func TestUntidyReleaseIsDestroyed(t *testing.T) {
	_, c, top := single(t, quick())
	b := mustAcquire(t, top, Primary)
	b.Conn.QueueOrWrite(pgwire.AppendQuery(nil, "select"))
	await(t, "the answer has arrived", func() bool { return b.Conn.Fill() })
	b.Release()
	if s := c.Stats()[0]; s.Idle != 0 || s.Counts.Destroyed[reasonUntidy] != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestSecondReleasePanics(t *testing.T) {
	_, _, top := single(t, quick())
	b := mustAcquire(t, top, Primary)
	b.Release()
	for _, again := range []func(){b.Release, func() { b.Destroy("test") }} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, "nobody holds") {
					t.Fatalf("the panic says %q", text)
				}
			}()
			again()
		}()
	}
	mustAcquire(t, top, Primary).Release() // the pool still works
}

func TestIdleLimit(t *testing.T) {
	cfg := quick()
	cfg.Idle = 30 * time.Millisecond
	_, c, top := single(t, cfg)
	b := mustAcquire(t, top, Primary)
	b.Release()
	await(t, "the idle backend is closed", func() bool { return c.Stats()[0].Counts.Destroyed[reasonIdle] == 1 })
	mustAcquire(t, top, Primary).Release()
}

func TestLifetime(t *testing.T) {
	cfg := quick()
	cfg.Lifetime = 40 * time.Millisecond
	_, c, top := single(t, cfg)
	idles, works := mustAcquire(t, top, Primary), mustAcquire(t, top, Primary)
	idles.Release()
	await(t, "the idle one is closed", func() bool { return c.Stats()[0].Counts.Destroyed[reasonLifetime] == 1 })
	await(t, "the other is old enough", func() bool { return works.Age() > 50*time.Millisecond })
	if s := c.Stats()[0]; s.Busy != 1 {
		t.Fatalf("a backend was taken from its holder: %+v", s)
	}
	works.Release()
	if got := c.Stats()[0].Counts.Destroyed[reasonLifetime]; got != 2 {
		t.Fatalf("%d were closed for their age", got)
	}
}

func TestAdjustShrinks(t *testing.T) {
	cfg := quick()
	_, c, top := single(t, cfg)
	var all []*Backend
	for range 4 {
		all = append(all, mustAcquire(t, top, Primary))
	}
	all[0].Release()
	cfg.Size = 2
	c.Adjust(cfg)
	await(t, "the idle one is closed", func() bool { s := c.Stats()[0]; return s.Idle+s.Busy == 3 })
	for _, b := range all[1:] {
		b.Release()
	}
	if s := c.Stats()[0]; s.Idle != 2 || s.Counts.Destroyed[reasonShrunk] != 2 || s.Size != 2 {
		t.Fatalf("%+v", s)
	}
}
