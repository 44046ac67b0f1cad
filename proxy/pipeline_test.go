package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// TestEviction uses more statements in one pipeline than backends keep, with errors in between (gotchas 1, 2 and 5).
//
// Row 1: DEALLOCATE ALL and a Parse that follows in one pipeline.
// Row 2: 200 statements and their Closes, with evictions.
// Row 5: an error among the Parses that are sent again.
func TestEviction(t *testing.T) {
	c := pgcluster.Test(t, pgcluster.Config{})
	th := newTheater(t, c)
	small := func(c *Config) { c.Statements = 2 }
	th.add("PgDrover, 2 statements", c, rigOptions{size: 1, config: small}, false)
	th.add("PgDrover, moving, 2 statements", c, rigOptions{size: 2, config: small}, true)
	for _, fail := range []int{-1, 0, 1, 2, 100, 199} {
		var b strings.Builder
		for i := range 200 {
			sql := fmt.Sprintf("select %d + $1::int", i)
			if i == fail {
				sql = "selekt"
			}
			fmt.Fprintf(&b, "a: Parse s%d %s\na: Bind - s%d 1\na: Execute -\n", i, sql, i)
			if i%7 == 0 {
				fmt.Fprintf(&b, "a: Close S s%d\n", max(0, i-3))
			}
			if i%50 == 49 {
				b.WriteString("a: Sync\n")
			}
		}
		b.WriteString("a: ready 4\n")
		for i := range 200 {
			fmt.Fprintf(&b, "a: Bind - s%d 2\na: Execute -\na: Sync\n", (i*37)%200)
		}
		b.WriteString("a: ready 200\na: Query deallocate all\na: Parse s0 select 1\na: Sync\na: ready 2\n")
		steps, err := parseScript(b.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, d := th.compare(steps); d != "" {
			t.Errorf("with an error at %d: %s", fail, d)
		}
	}
}

// TestPipelines sends more than any buffer holds, and reads late (gotcha 13).
//
// Row 13: 10 000 messages of a kilobyte, both ways.
func TestPipelines(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{size: 2})
	kilobyte := strings.Repeat("x", 1024)
	bind := func(value string) []byte {
		st := step{line: "Bind", rest: "- - " + value}
		b, err := st.bind()
		if err != nil {
			t.Fatal(err)
		}
		return append(b, pgwire.AppendExecute(nil, "", 0)...)
	}
	parse := func(sql string) []byte { return pgwire.AppendParse(nil, "", sql, nil) }
	const n = 10_000
	for _, test := range []struct {
		name       string
		head, each []byte
		tail       []byte
		late       int  // bytes that are written before anything is read; 0: all
		kind       byte // of message to count
	}{
		{"small answers, read after all is written", parse("select length($1::text)"), bind(kilobyte), pgwire.AppendSync(nil), 0, 'D'},
		{"large answers, read late", parse("select $1::text"), bind(kilobyte), pgwire.AppendSync(nil), 1 << 20, 'D'},
		{"a Sync after each", parse("select $1::text"), append(bind(kilobyte), pgwire.AppendSync(nil)...), nil, 1 << 20, 'Z'},
		{"a Flush after each", parse("select $1::text"), append(bind(kilobyte), pgwire.AppendFlush(nil)...), pgwire.AppendSync(nil), 1 << 20, 'D'},
		{"queries", nil, pgwire.AppendQuery(nil, "select '"+kilobyte+"'"), nil, 1 << 20, 'D'},
		{"COPY in", pgwire.AppendQuery(nil, "copy users from stdin"), nil, nil, 0, 'Z'},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 60 * time.Second})
			want := n
			data := append(bytes.Clone(test.head), bytes.Repeat(test.each, n)...)
			if test.name == "COPY in" {
				want = 1
				for i := range n {
					data = append(data, framed(pgwire.MsgCopyData, fmt.Appendf(nil, "1\t%d\t%s\n", i, kilobyte))...)
				}
				data = append(data, framed(pgwire.MsgCopyDone, nil)...)
			}
			data = append(data, test.tail...)
			late := test.late
			if late == 0 {
				late = len(data)
			}
			begin, sent := make(chan struct{}), make(chan error, 1)
			go func() {
				err := client.SendBytes(data[:late])
				close(begin)
				if err == nil {
					err = client.SendBytes(data[late:])
				}
				sent <- err
			}()
			<-begin
			for got := 0; got < want; {
				frame, err := client.Read()
				if err != nil {
					t.Fatalf("after %d of %d: %v", got, want, err)
				}
				if frame[0] == pgwire.MsgErrorResponse {
					t.Fatalf("after %d: %s", got, pgwire.Trace(nil, false, frame))
				}
				if frame[0] == test.kind {
					got++
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if test.kind != pgwire.MsgReadyForQuery && test.name != "queries" {
				if _, err := client.ReadUntilReady(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestLargeMessages passes statements, values, rows and COPY data of many megabytes in one message each.
//
// Row 29: a message above the limit is refused by its length.
func TestLargeMessages(t *testing.T) {
	c := sharedPrimaries(t, 1)
	r := startRig(t, c, rigOptions{size: 2, large: true})
	const size = 24 << 20
	big := strings.Repeat("0123456789abcdef", size/16)
	client := pgtest.Connect(t, r.addr, pgtest.Options{User: rigUser, Password: rigPassword, Database: c.Database, Timeout: 60 * time.Second})
	talk := func(what string, message []byte, rowSize int) {
		t.Helper()
		sent := make(chan error, 1)
		go func() { sent <- client.SendBytes(message) }()
		largest := 0
		for {
			frame, err := client.Read()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if frame[0] == pgwire.MsgErrorResponse {
				t.Fatalf("%s: %s", what, pgwire.Trace(nil, false, frame))
			}
			if frame[0] == pgwire.MsgDataRow || frame[0] == pgwire.MsgCopyData {
				largest = max(largest, len(frame))
			}
			if frame[0] == pgwire.MsgReadyForQuery {
				break
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if largest < rowSize {
			t.Fatalf("%s: the largest row has %d bytes, want %d", what, largest, rowSize)
		}
	}
	talk("a long Query", pgwire.AppendQuery(nil, "select '"+big+"'"), size)
	st := step{line: "Bind", rest: "- - " + big}
	bind, err := st.bind()
	if err != nil {
		t.Fatal(err)
	}
	message := append(pgwire.AppendParse(nil, "", "select $1::text, $1::text", nil), bind...)
	message = append(pgwire.AppendExecute(message, "", 0), pgwire.AppendSync(nil)...)
	talk("a long value", message, 2*size)
	talk("a long statement", append(append(append(pgwire.AppendParse(nil, "long", "select length('"+big+"')", nil),
		framed(pgwire.MsgBind, []byte("\x00long\x00\x00\x00\x00\x00\x00\x00"))...), pgwire.AppendExecute(nil, "", 0)...), pgwire.AppendSync(nil)...), 1)
	message = append(pgwire.AppendQuery(nil, "copy users from stdin"), framed(pgwire.MsgCopyData, []byte("1\t1\t"+big+"\n"))...)
	talk("COPY in", append(message, framed(pgwire.MsgCopyDone, nil)...), 0)
	talk("COPY out", pgwire.AppendQuery(nil, "copy users to stdout"), size)
	talk("after all that", pgwire.AppendQuery(nil, "select length(name) from users"), 1)
	if err := client.SendBytes(append([]byte{'Q'}, 0x20, 0, 0, 0)); err != nil { // half a gibibyte
		t.Fatal(err)
	}
	frame, err := client.Read()
	if err != nil || string(pgwire.ErrorField(frame, pgwire.FieldCode)) != "08P01" {
		t.Fatalf("a message above the limit: %s, %v", frame, err)
	}
	if err := client.AwaitClose(); err != nil {
		t.Fatal(err)
	}
}
