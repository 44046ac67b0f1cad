package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// copyMessages are what a client sends, one for each space-separated word, and its data.
func copyMessages(script string) []byte {
	var b []byte
	for _, word := range strings.Fields(script) {
		verb, arg, _ := strings.Cut(word, "=")
		arg = strings.ReplaceAll(strings.ReplaceAll(arg, "~", " "), "|", "\t")
		switch verb {
		case "Q":
			b = pgwire.AppendQuery(b, arg)
		case "P":
			b = pgwire.AppendParse(b, "", arg, []byte{0, 0})
		case "B":
			b = append(b, pgtest.Frame('B', make([]byte, 8))...)
		case "D":
			b = pgwire.AppendDescribe(b, 'P', "")
		case "DS":
			b = pgwire.AppendDescribe(b, 'S', "")
		case "E":
			b = pgwire.AppendExecute(b, "", 0)
		case "S":
			b = pgwire.AppendSync(b)
		case "H":
			b = pgwire.AppendFlush(b)
		case "d":
			b = pgwire.AppendCopyData(b, []byte(strings.ReplaceAll(arg, ";", "\n")))
		case "c":
			b = pgwire.AppendCopyDone(b)
		case "f":
			b = pgwire.AppendCopyFail(b, arg)
		}
	}
	return b
}

// played sends a script and writes what comes, up to so many ReadyForQuery and a select that follows.
func played(t *testing.T, client *pgtest.Client, script string, ready int) string {
	t.Helper()
	check(t, client.SendBytes(copyMessages(script+" Q=select~'over'")))
	var out strings.Builder
	for ready++; ready > 0; {
		frame, err := client.Read()
		if errors.Is(err, io.EOF) {
			return out.String() + "closed"
		}
		if err != nil {
			t.Fatalf("%s: %v after\n%s", script, err, &out)
		}
		switch frame[0] {
		case pgwire.MsgReadyForQuery:
			ready--
		case pgwire.MsgErrorResponse:
			e, err := pgwire.DecodeError(frame)
			check(t, err)
			fmt.Fprintf(&out, "%s %s %s|%s\n", e.Severity, e.Code, e.Message, e.Where)
			continue
		}
		out.Write(pgwire.Trace(nil, false, frame))
		out.WriteByte('\n')
	}
	return out.String()
}

// copyScripts are conversations about a COPY, and how many ReadyForQuery answer each. Q, P, B, D, DS, E, S, H, d, c and f are messages;
// in what follows one ~ is a blank, | a tab and ; the end of a line.
var copyScripts = []struct {
	script string
	ready  int
}{
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|1;2|2; d=3|3; c", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|1;2 d=|2;3|3 c", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin H S d=1|1;2 H S d=|2;3|3 H c", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|1;2|2; f=enough", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin f=at~once", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin c", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|1;x|2;3|3; d=4|4; c", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|1;2|x;3|3; d=4|4; c", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|1;2|2; Q=select~1", 1},
	{"Q=copy~late~(id,tenant_id,nosuch)~from~stdin d=1|1; c", 1},
	{"P=copy~late~(id,tenant_id)~from~stdin B E S d=1|1;2|2;3|3; c S", 1},
	{"P=copy~late~(id,tenant_id)~from~stdin B D E d=1|1;2|2;3|3; c S", 1},
	{"P=copy~late~(id,tenant_id)~from~stdin DS B D E H d=1|1;2|2;3|3; c S", 1},
	{"P=copy~late~(id,tenant_id)~from~stdin B E d=1|1;2|2;3|3; c E S", 1},
	{"P=copy~late~(id,tenant_id)~from~stdin B E d=1|1;x|2;3|3; c S", 1},
	{"P=copy~late~(id,tenant_id)~from~stdin B E d=1|1;2|2;3|3; f=no S", 1},
	{"P=copy~late~(id,tenant_id)~from~stdin B E d=1|1; P=select~1 S", 1},
	{"Q=begin Q=copy~late~(id,tenant_id)~from~stdin d=1|1;4|1; c Q=commit", 3},
	{"Q=begin Q=copy~late~(id,tenant_id)~from~stdin d=1|1;4|1; c Q=rollback", 3},
	{"Q=begin Q=copy~late~(id,tenant_id)~from~stdin d=1|1;x|1; c Q=select~1 Q=commit", 4},
	{"Q=begin Q=savepoint~a Q=copy~late~(id,tenant_id)~from~stdin d=1|1;x|1; c Q=rollback~to~a Q=copy~late~(id,tenant_id)~from~stdin d=2|1; c Q=commit", 6},
	{"Q=copy~countries~from~stdin d=de|Germany; d=fr|France; c", 1},
	{"Q=copy~countries~from~stdin d=de|Germany; d=fr|France; f=no", 1},
	{"P=copy~countries~from~stdin B E d=de|Germany;de|Germany; c S", 1},
	{"P=copy~countries~from~stdin B E d=de|Germany; c S", 1},
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|5; c Q=/*~pgdrover:~scatter~*/copy~late~to~stdout", 2},
	{"Q=copy~late~(id,tenant_id)~from~stdin d=1|5; c P=/*~pgdrover:~scatter~*/copy~late~to~stdout~csv~header B D E S", 2},
	{"P=/*~pgdrover:~scatter~*/copy~late~to~stdout~(format~binary) DS B E S", 1},
	{"P=/*~pgdrover:~scatter~*/copy~(select~1/(id-1)~from~late)~to~stdout B E S", 1},
	{"Q=begin Q=copy~late~(id,tenant_id)~from~stdin d=1|5; c Q=/*~pgdrover:~scatter~*/copy~(select~1/(id-1)~from~late)~to~stdout Q=commit", 4},
	{"P=/*~pgdrover:~scatter~*/copy~(select~nosuch~from~late)~to~stdout B E S", 1},
	{"Q=copy~countries~from~stdin~csv~header d=code,name;de,x; c Q=copy~countries~to~stdout", 2},
}

// TestCopyConversations has the same conversations with one server and with a proxy in front of three.
func TestCopyConversations(t *testing.T) {
	r, through, one := copyRig(t, rigOptions{})
	n := r.cluster.Shards[0].Primary
	for _, c := range copyScripts {
		for _, conn := range []*pgx.Conn{one, through} {
			r.exec(conn, "truncate late")
			r.exec(conn, "truncate countries")
		}
		server := pgtest.Connect(t, n.Addr(), pgtest.Options{User: r.cluster.User, Password: r.cluster.Password, Database: "copied", Timeout: 20 * time.Second})
		proxy := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 20 * time.Second})
		want, got := played(t, server, c.script, c.ready), played(t, proxy, c.script, c.ready)
		if strings.Contains(c.script, "countries") { // whose lines are not counted
			want, got = strings.NewReplacer("countries, line 3", "countries").Replace(want), strings.NewReplacer("countries, line 3", "countries").Replace(got)
		}
		if got != want {
			t.Errorf("%s:\n got\n%s\nwant\n%s", c.script, got, want)
		}
		if want, got := r.allOf("late", one), r.allOf("late", nil); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", c.script, got, want)
		}
		for _, sh := range r.cluster.Shards {
			if want, got := r.value(one, "select coalesce(string_agg(code || name, ',' order by code), '') from countries"),
				r.on(sh.Primary, "select coalesce(string_agg(code || name, ',' order by code), '') from countries"); got != want {
				t.Errorf("%s: %s on %s, want %s", c.script, got, sh.Name, want)
			}
		}
	}
	await(t, "no backend is in use", func() bool { return r.busy(0)+r.busy(1)+r.busy(2) == 0 })
}

// TestCopyAtRandom cuts data of many rows into messages at random, and puts a mistake into some of it.
func TestCopyAtRandom(t *testing.T) {
	r, through, one := copyRig(t, rigOptions{})
	rng := rand.New(rand.NewPCG(7, uint64(len(copyCases))))
	for round := range 24 {
		format := []string{"text", "csv", "csv header", "binary"}[round%4]
		var b strings.Builder
		n := 1 + rng.IntN(3000)
		wrong := -1
		if round%3 == 2 {
			wrong = rng.IntN(n)
		}
		var rows [][]any
		if format == "csv header" {
			b.WriteString("tenant_id,\"i\nd\",note\n")
		}
		for i := range n {
			id, note := fmt.Sprint(i), strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(60))
			if i == wrong {
				id = "wrong"
			}
			k := 1 + rng.Int64N(50)
			switch format {
			case "text":
				fmt.Fprintf(&b, "%d\t%s\t%s\\n\\t\\\n\n", k, id, note)
			case "binary":
				rows = append(rows, []any{k, map[bool]any{true: "wrong", false: int32(i)}[i == wrong], note})
			default:
				fmt.Fprintf(&b, "%d,%s,\"%s\"\"%s\"\n", k, id, note, strings.Repeat("\n", rng.IntN(3)))
			}
		}
		data := b.String()
		if format == "binary" {
			data = copyBinary(rows...)
		}
		sql := "copy orders (tenant_id, id, note) from stdin " + strings.TrimPrefix(format, "text")
		r.exec(one, "truncate orders")
		r.exec(through, "truncate orders")
		want := copied(t, one, sql, data)
		client := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 20 * time.Second})
		got := copiedInPieces(t, client, sql, data, rng)
		if got != want {
			t.Fatalf("round %d, %s of %d rows, %d is wrong:\n got %s\nwant %s", round, format, n, wrong, got, want)
		}
		if want, got := r.allOf("orders", one), r.allOf("orders", nil); !slices.Equal(got, want) {
			t.Fatalf("round %d, %s of %d rows, got %d", round, format, n, len(got))
		}
		check(t, client.Close())
	}
}

// copiedInPieces is copied with the data cut at random.
func copiedInPieces(t *testing.T, client *pgtest.Client, sql, data string, rng *rand.Rand) string {
	t.Helper()
	var b []byte
	for most := 1 + rng.IntN(5000); len(data) > 0; {
		n := min(len(data), 1+rng.IntN(most))
		b = pgwire.AppendCopyData(b, []byte(data[:n]))
		data = data[n:]
	}
	check(t, client.SendBytes(append(pgwire.AppendQuery(nil, sql), pgwire.AppendCopyDone(b)...)))
	told := ""
	for {
		frame, err := client.Read()
		check(t, err)
		switch frame[0] {
		case pgwire.MsgErrorResponse:
			e, err := pgwire.DecodeError(frame)
			check(t, err)
			told = e.Code + " " + e.Message + " | " + e.Where
		case pgwire.MsgCommandComplete:
			tag, err := pgwire.CommandTag(frame)
			check(t, err)
			told = string(tag)
		case pgwire.MsgReadyForQuery:
			return told
		}
	}
}

// TestCopyOfLongRows has rows that are longer than any buffer, and one that is too long to be kept until its tenant is known.
func TestCopyOfLongRows(t *testing.T) {
	r, through, one := copyRig(t, rigOptions{large: true})
	long := strings.Repeat("0123456789abcdef", 200_000)
	data := "1\t" + long + "\t1\n2\tx\t2\n3\t" + long + "\t3"
	for _, sql := range []string{"copy orders (id, note, tenant_id) from stdin", "copy orders (tenant_id, note, id) from stdin"} {
		r.exec(through, "truncate orders")
		if got := copied(t, through, sql, data); got != "COPY 3" {
			t.Fatal(got)
		}
		if got := copied(t, one, "copy orders (id, note, tenant_id) from stdin", data); got != "COPY 3" {
			t.Fatal(got)
		}
		if want, got := r.allOf("orders", one), r.allOf("orders", nil); !slices.Equal(got, want) {
			t.Fatal(len(got), len(want))
		}
		r.exec(one, "truncate orders")
	}
	o := *r.db.options()
	o.ScatterMemory = 1 << 20
	r.db.Adjust(o)
	if got := copied(t, through, "copy late (id, note, tenant_id) from stdin", data); !strings.HasPrefix(got, "54000 ") || !strings.HasSuffix(got, "COPY late, line 1") {
		t.Fatal(got)
	}
	if got := copied(t, through, "copy late (tenant_id, note, id) from stdin", data); got != "COPY 3" {
		t.Fatal(got)
	}
}

// copyOpened is a client whose COPY into late has begun, with some rows sent.
func copyOpened(t *testing.T, r *rig, data string) *pgtest.Client {
	t.Helper()
	client := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 30 * time.Second})
	check(t, client.SendFrame('Q', []byte("copy late (id, tenant_id) from stdin\x00")))
	if _, err := client.ReadUntil('G'); err != nil {
		t.Fatal(err)
	}
	check(t, client.SendFrame('d', []byte(data)))
	return client
}

// TestCopyEnds ends a COPY in the middle: by a cancel, by a client that leaves, by a shard that is gone.
func TestCopyEnds(t *testing.T) {
	r, through, _ := copyRig(t, rigOptions{size: 2, wait: 20 * time.Second})
	var rows strings.Builder
	for k := range 100 {
		fmt.Fprintf(&rows, "%d\t%d\n", k, k)
	}
	copying := func() bool {
		n := 0
		for _, sh := range r.cluster.Shards {
			if r.on(sh.Primary, "select count(*) from pg_stat_activity where query like 'copy late%' and state = 'active'") == "1" {
				n++
			}
		}
		return n == 3
	}
	client := copyOpened(t, r, rows.String())
	await(t, "all shards copy", copying)
	check(t, client.Cancel())
	check(t, client.SendFrame('d', []byte(rows.String()))) // a server looks for a cancel when data arrives
	if lines, err := client.ReadUntilReady(); err != nil || !strings.Contains(strings.Join(lines, ""), "57014") {
		t.Fatal(lines, err)
	}
	if _, err := client.Query("select 1"); err != nil {
		t.Fatal(err)
	}
	for _, leave := range []func(*pgtest.Client) error{
		(*pgtest.Client).Abort, (*pgtest.Client).CloseWrite, (*pgtest.Client).Close,
		func(c *pgtest.Client) error {
			check(t, c.SendBytes(binary.BigEndian.AppendUint32([]byte{'d'}, 1000)))
			return c.Abort()
		},
	} {
		leaver := copyOpened(t, r, rows.String())
		await(t, "all shards copy", copying)
		check(t, leave(leaver))
		await(t, "no backend is in use", func() bool { return r.busy(0)+r.busy(1)+r.busy(2) == 0 })
	}
	loser := copyOpened(t, r, rows.String())
	await(t, "all shards copy", copying)
	r.on(r.cluster.Shards[1].Primary, "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy late%' and state = 'active'")
	lines, err := loser.ReadUntilReady()
	if err != nil || !strings.Contains(strings.Join(lines, ""), "s2") {
		t.Fatal(lines, err)
	}
	for range 3 {
		if _, err := loser.Query("select 1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.allOf("late", nil); len(got) != 0 {
		t.Fatal(got)
	}
	if got := copied(t, through, "copy late (id, tenant_id) from stdin", rows.String()); got != "COPY 100" {
		t.Fatal(got)
	}
}

// TestCopyIsHeldUp has one shard that takes no rows: the client is not read, and goes on when the shard does.
func TestCopyIsHeldUp(t *testing.T) {
	r, _, _ := copyRig(t, rigOptions{})
	k := r.tenants(1, 1)[0]
	holder := r.direct(r.cluster.Shards[1].Primary.URL())
	r.exec(holder, "begin")
	r.exec(holder, "insert into orders values ($1, 0)", k)
	client := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: r.cluster.Database, Timeout: 60 * time.Second})
	check(t, client.SendFrame('Q', []byte("copy orders (tenant_id, id, note) from stdin\x00")))
	if _, err := client.ReadUntil('G'); err != nil {
		t.Fatal(err)
	}
	row := strings.Repeat("x", 1000)
	sent, wrote := make(chan error, 1), make(chan int, 1000)
	go func() { // more than sockets and queues hold
		for i := range 400 {
			var b strings.Builder
			for n := range 100 {
				fmt.Fprintf(&b, "%d\t%d\t%s\n", []int64{k, 1, 2}[n%3], i*100+n, row)
			}
			if err := client.SendFrame('d', []byte(b.String())); err != nil {
				sent <- err
				return
			}
			wrote <- i
		}
		sent <- client.SendFrame('c', nil)
	}()
	await(t, "the shard waits for a lock", func() bool {
		return r.on(r.cluster.Shards[1].Primary, "select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "1"
	})
	time.Sleep(300 * time.Millisecond) // for what can be sent to be sent; if that takes longer, less is looked at
	if n := len(wrote); n > 390 {
		t.Errorf("the client sent %d messages", n)
	}
	r.exec(holder, "rollback")
	check(t, <-sent)
	if lines, err := client.ReadUntilReady(); err != nil || !strings.Contains(strings.Join(lines, ""), "COPY 40000") {
		t.Fatal(lines, err)
	}
}
