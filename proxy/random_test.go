package proxy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
)

// script writes a conversation down. Each client reads at the end, and leaves.
func script(talk []utterance) string {
	var b strings.Builder
	owed := map[string]*owing{}
	for _, u := range talk {
		owed[u.client] = &owing{}
	}
	clients := slices.Sorted(maps.Keys(owed))
	for _, c := range clients {
		talk = append(talk[:len(talk):len(talk)], utterance{client: c})
	}
	for _, u := range talk {
		o := owed[u.client]
		for _, line := range u.lines {
			fmt.Fprintf(&b, "%s: %s\n", u.client, line)
			o.note(line)
		}
		if len(u.lines) == 0 {
			o.read(&b, u.client)
		}
	}
	for _, c := range clients {
		fmt.Fprintf(&b, "%s: Terminate\n%s: closed\n", c, c)
	}
	b.WriteString(nothingLeft)
	return b.String()
}

// nothingLeft waits until nothing of sessions that have ended is on any backend.
const nothingLeft = `await select count(*) = 0 from pg_locks where locktype = 'advisory'
await select count(*) = 0 from pg_class where relpersistence = 't'
await select count(*) = 0 from pg_stat_activity where state like 'idle in transaction%' and query not like 'begin; select 1%'
`

// owing is what a client is owed: how many ReadyForQuery, unless a Query came within a batch.
type owing struct {
	ready          int
	inBatch, vague bool
}

func (o *owing) note(line string) {
	switch verb, _, _ := strings.Cut(line, " "); verb {
	case "Sync":
		o.ready++
		o.inBatch = false
	case "Query", "FunctionCall":
		o.ready++
		o.vague = o.vague || o.inBatch
	case "CopyData", "CopyDone", "CopyFail":
	default:
		o.inBatch = true
	}
}

func (o *owing) read(b *strings.Builder, client string) {
	if o.inBatch {
		fmt.Fprintf(b, "%s: Sync\n", client)
		o.ready++
	}
	switch {
	case o.vague: // an empty query, which nobody else says, marks the end
		fmt.Fprintf(b, "%s: Query\n%s: until EmptyQueryResponse\n%s: ready\n", client, client, client)
	case o.ready > 0:
		fmt.Fprintf(b, "%s: ready %d\n", client, o.ready)
	}
	*o = owing{}
}

// TestImprovised plays conversations that nobody thought of. PGDROVER_IMPROVISE says for how long (default 5s), and
// PGDROVER_IMPROVISE_SEED which one to begin with.
func TestImprovised(t *testing.T) {
	span, seed := 5*time.Second, uint64(1)
	if testing.Short() {
		span = time.Second
	}
	if s := os.Getenv("PGDROVER_IMPROVISE"); s != "" {
		var err error
		if span, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		seed = rand.Uint64N(1 << 40)
	}
	if s := os.Getenv("PGDROVER_IMPROVISE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	c := pgcluster.Test(t, pgcluster.Config{})
	t.Run("everywhere", func(t *testing.T) {
		th := newTheater(t, c)
		th.add("PgDrover", c, rigOptions{size: 4}, false)
		th.add("PgDrover, moving", c, rigOptions{size: 2, reuseFor: time.Millisecond, config: func(c *Config) { c.Statements = 2 }}, true)
		th.add("PgDrover, session mode", c, rigOptions{size: 4, mode: ModeSession}, false)
		th.improvise(span, seed)
	})
	t.Run("session mode", func(t *testing.T) {
		th := newTheater(t, c)
		th.exact = true
		th.add("PgDrover, session mode", c, rigOptions{size: 4, mode: ModeSession, keep: true}, false)
		th.improvise(span, seed)
	})
}

// improvise plays one conversation after the other.
func (th *theater) improvise(span time.Duration, seed uint64) {
	t := th.t
	th.patience(20 * time.Second)
	rounds, goroutines, memory := 0, runtime.NumGoroutine(), heap()
	var before []utterance
	for until := time.Now().Add(span); time.Now().Before(until); rounds++ {
		im := &improviser{Rand: rand.New(rand.NewPCG(seed, 0)), free: th.exact}
		talk := im.conversation()
		if d := th.tell(talk); d != "" {
			both := append(slices.Clone(before), talk...)
			if th.tell(talk) == "" && th.tell(both) != "" { // the one before has its part in it
				talk = both
			}
			th.patience(4 * time.Second) // it may hang each time
			less := th.shrink(talk)
			th.patience(20 * time.Second)
			if again := th.tell(less); again != "" {
				t.Fatalf("seed %d:\n%s\n%s", seed, script(less), again)
			}
			t.Fatalf("seed %d, not each time:\n%s\nafter\n%s\n%s", seed, script(talk), script(before), d)
		}
		seed, before = seed+1, talk
	}
	th.atRest(goroutines)
	if grown := heap() - memory; grown > 64<<20 {
		t.Errorf("%d kB of memory stay", grown>>10)
	}
	t.Logf("%d conversations, the last of seed %d", rounds, seed-1)
}

// patience is how long clients wait for an answer.
func (th *theater) patience(d time.Duration) {
	for _, st := range th.stages {
		st.options.Timeout = d
	}
}

// atRest waits until no session is left but the movers', no backend is in use, and no goroutine runs that did not before, but for one a
// backend, where a session has waited for it beside its client and somebody still looks what it says, and a few that servers begin with.
func (th *theater) atRest(goroutines int) {
	th.t.Helper()
	var left string
	defer func() {
		if th.t.Failed() {
			stacks := make([]byte, 1<<20)
			th.t.Logf("what is left: %s\n%s", left, stacks[:runtime.Stack(stacks, true)])
		}
	}()
	await(th.t, "sessions are gone, and what they had", func() bool {
		left = ""
		watched := 0
		for _, st := range th.stages[1:] {
			mine := 0
			for _, m := range st.movers {
				if m != nil {
					mine++
				}
			}
			if clients, busy := len(st.rig.server.Clients()), inUse(st.rig.db); clients != mine || busy > 0 {
				left += fmt.Sprintf("%s: %d clients, %d backends in use; ", st.name, clients-mine, busy)
			}
			watched += len(st.rig.db.Cluster().Backends())
		}
		if n := runtime.NumGoroutine(); n > goroutines+watched+10 {
			left += fmt.Sprintf("%d goroutines, where there were %d, and %d backends", n, goroutines, watched)
		}
		return left == ""
	})
}

// tell plays a conversation everywhere and returns what differs.
func (th *theater) tell(talk []utterance) string {
	steps, err := parseScript(script(talk))
	if err != nil {
		th.t.Fatal(err)
	}
	stages := th.stages[1:]
	if slices.ContainsFunc(talk, func(u utterance) bool { return u.client == "c" }) { // three may keep more backends than are moved among
		stages = slices.DeleteFunc(slices.Clone(stages), func(st *stage) bool { return st.move })
	}
	_, difference := th.compareOn(stages, steps)
	if strings.HasPrefix(difference, th.stages[0].name) { // it breaks the protocol
		return ""
	}
	return difference
}

// shrink leaves out of a conversation what does not matter to the difference.
func (th *theater) shrink(talk []utterance) []utterance {
	until := time.Now().Add(60 * time.Second)
	for size := max(1, len(talk)/2); size > 0; size /= 2 {
		for at := 0; at+size <= len(talk) && time.Now().Before(until); {
			less := slices.Delete(slices.Clone(talk), at, at+size)
			if th.tell(less) != "" {
				talk = less
			} else {
				at += size
			}
		}
	}
	for i := range talk {
		for j := 0; j < len(talk[i].lines) && time.Now().Before(until); {
			less := slices.Clone(talk)
			less[i].lines = slices.Delete(slices.Clone(talk[i].lines), j, j+1)
			if len(less[i].lines) > 0 && th.tell(less) != "" {
				talk = less
			} else {
				j++
			}
		}
	}
	return talk
}
