package admin

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgdrover/pgdrover/internal/pgcluster"
	"github.com/pgdrover/pgdrover/internal/pgtest"
)

// talk sends messages to the console and returns the trace of the answer, up to the last ReadyForQuery, without what it says of columns'
// types.
func talk(t *testing.T, c *pgtest.Client, syncs int, messages ...pgtest.Encoder) string {
	t.Helper()
	if err := c.Send(messages...); err != nil {
		t.Fatal(err)
	}
	var all []string
	for range syncs {
		lines, err := c.ReadUntilReady()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lines...)
	}
	var words []string
	for _, l := range all {
		fields := strings.Fields(l)
		word := fields[1]
		switch word {
		case "ErrorResponse":
			word += " " + l[strings.Index(l, ` C "`)+4:][:5]
		case "ReadyForQuery":
			word = fields[len(fields)-1]
		case "CommandComplete":
			word = strings.Trim(strings.Join(fields[3:], " "), `"`)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func TestConsoleProtocol(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	c := pgtest.Connect(t, r.addr, pgtest.Options{User: "ops", Password: "secret", Database: "pgdrover"})
	parse := func(name, sql string, oids ...uint32) pgtest.Encoder {
		return &pgproto3.Parse{Name: name, Query: sql, ParameterOIDs: oids}
	}
	bind := func(portal, name string, params ...string) pgtest.Encoder {
		b := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: name}
		for _, p := range params {
			b.Parameters = append(b.Parameters, []byte(p))
		}
		return b
	}
	formats := func(name string, codes ...int16) pgtest.Encoder {
		return &pgproto3.Bind{PreparedStatement: name, ResultFormatCodes: codes}
	}
	describe := func(kind byte, name string) pgtest.Encoder { return &pgproto3.Describe{ObjectType: kind, Name: name} }
	execute := func(portal string, rows uint32) pgtest.Encoder {
		return &pgproto3.Execute{Portal: portal, MaxRows: rows}
	}
	closing := func(kind byte, name string) pgtest.Encoder { return &pgproto3.Close{ObjectType: kind, Name: name} }
	query := func(sql string) pgtest.Encoder { return &pgproto3.Query{String: sql} }
	sync, flush := &pgproto3.Sync{}, &pgproto3.Flush{}
	for _, test := range []struct {
		name, want string
		syncs      int
		messages   []pgtest.Encoder
	}{
		{"several statements", "RowDescription, DataRow, SHOW, SET, RowDescription, DataRow, SHOW, I", 1, []pgtest.Encoder{query("show version; set extra_float_digits = 3; ; show version;")}},
		{"up to the first that fails", "RowDescription, DataRow, SHOW, ErrorResponse 3D000, I", 1, []pgtest.Encoder{query("show version; pause nowhere; show version")}},
		{"none, if one cannot be read", "ErrorResponse 42601, I", 1, []pgtest.Encoder{query("show version; nonsense")}},
		{"nothing", "EmptyQueryResponse, I", 1, []pgtest.Encoder{query(" ; -- nothing")}},
		{"at once", "ParseComplete, BindComplete, RowDescription, DataRow, SHOW, I", 1,
			[]pgtest.Encoder{parse("", "SHOW VERSION;"), bind("", ""), describe('P', ""), execute("", 0), sync}},
		{"prepared", "ParseComplete, ParameterDescription, RowDescription, I", 1, []pgtest.Encoder{parse("a", "SHOW LISTS"), describe('S', "a"), sync}},
		{"again", "BindComplete, " + strings.Repeat("DataRow, ", 16) + "SHOW, I, BindComplete, " + strings.Repeat("DataRow, ", 16) + "SHOW, I", 2,
			[]pgtest.Encoder{bind("", "a"), execute("", 0), sync, bind("", "a"), execute("", 0), flush, sync}},
		{"a few rows at a time", "BindComplete, DataRow, DataRow, PortalSuspended, " + strings.Repeat("DataRow, ", 14) + "PortalSuspended, SHOW, I", 1,
			[]pgtest.Encoder{bind("p", "a"), execute("p", 2), execute("p", 14), execute("p", 5), sync}},
		{"a portal ends with its batch", "ErrorResponse 34000, I", 1, []pgtest.Encoder{execute("p", 1), sync}},
		{"twice the same name", "ErrorResponse 42P05, I", 1, []pgtest.Encoder{parse("a", "SHOW LISTS"), sync}},
		{"closed", "CloseComplete, CloseComplete, ErrorResponse 26000, I", 1, []pgtest.Encoder{closing('S', "a"), closing('S', "never"), describe('S', "a"), sync}},
		{"parameters", "ParseComplete, ErrorResponse 08P01, I", 1, []pgtest.Encoder{parse("", "SHOW VERSION"), bind("", "", "1"), execute("", 0), sync}},
		{"a declared parameter", "ParseComplete, ParameterDescription, RowDescription, BindComplete, DataRow, SHOW, I", 1,
			[]pgtest.Encoder{parse("", "SHOW VERSION", 23), describe('S', ""), bind("", "", "1"), execute("", 0), sync}},
		{"$1", "ErrorResponse 42P02, I", 1, []pgtest.Encoder{parse("", "SHOW TENANT $1", 25), sync}},
		{"formats", "ParseComplete, ErrorResponse 08P01, I", 1, []pgtest.Encoder{parse("", "SHOW VERSION"), formats("", 1, 1), sync}},
		{"a format that is none", "ParseComplete, ErrorResponse 22023, I", 1, []pgtest.Encoder{parse("", "SHOW VERSION"), formats("", 2), sync}},
		{"two statements", "ErrorResponse 42601, I", 1, []pgtest.Encoder{parse("", "SHOW VERSION; SHOW VERSION"), sync}},
		{"what follows an error is discarded", "ErrorResponse 42601, I, RowDescription, DataRow, SHOW, I", 2,
			[]pgtest.Encoder{parse("", "nonsense"), bind("", ""), query("show version"), sync, query("show version")}},
		{"an empty statement", "ParseComplete, BindComplete, NoData, EmptyQueryResponse, I", 1,
			[]pgtest.Encoder{parse("", ""), bind("", ""), describe('P', ""), execute("", 0), sync}},
		{"an order runs once", "ParseComplete, BindComplete, NoData, RECONNECT, ErrorResponse 55000, I", 1,
			[]pgtest.Encoder{parse("", "RECONNECT app"), bind("", ""), describe('P', ""), execute("", 0), execute("", 0), sync}},
		{"a Query ends the unnamed statement", "ParseComplete, I, RowDescription, DataRow, SHOW, I, ErrorResponse 26000, I", 3,
			[]pgtest.Encoder{parse("", "SHOW VERSION"), sync, query("show version"), bind("", ""), sync}},
		{"a block", "BEGIN, T, ParseComplete, BindComplete, DataRow, SHOW, T, DataRow, PortalSuspended, T, COMMIT, I", 4,
			[]pgtest.Encoder{query("begin"), parse("", "SHOW VERSION"), bind("q", ""), execute("q", 0), sync, parse("b", "SHOW LISTS"), bind("r", "b"), execute("r", 1), sync, query("commit")}},
		{"an aborted block", "BEGIN, ErrorResponse 3D000, E, ErrorResponse 25P02, E, ErrorResponse 25P02, E, ROLLBACK, I", 4,
			[]pgtest.Encoder{query("begin; pause nowhere"), query("show version"), parse("", "SHOW VERSION"), sync, query("commit")}},
		{"blocks in blocks", "BEGIN, NoticeResponse, BEGIN, ROLLBACK, NoticeResponse, COMMIT, I", 1, []pgtest.Encoder{query("begin; begin; rollback; commit")}},
		{"a function call", "ErrorResponse 0A000, I", 1, []pgtest.Encoder{&pgproto3.FunctionCall{Function: 1}}},
		{"left over from COPY", "RowDescription, DataRow, SHOW, I", 1, []pgtest.Encoder{&pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{}, query("show version")}},
	} {
		if test.name == "a block" { // the replies of b's Parse and Bind
			test.want = strings.Replace(test.want, "T, DataRow, PortalSuspended", "T, ParseComplete, BindComplete, DataRow, PortalSuspended", 1)
		}
		if got := talk(t, c, test.syncs, test.messages...); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestConsoleByDrivers runs statements in every mode that pgx has, three of which use the extended protocol, binary numbers included.
func TestConsoleByDrivers(t *testing.T) {
	r := serve(t, pgcluster.Test(t, pgcluster.Config{Shards: 1}))
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		c := r.connectBy(mode, "ops", "pgdrover")
		for range 2 {
			var database, mode string
			var size int64
			if err := c.QueryRow(t.Context(), "SHOW POOLS").Scan(&database, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, &mode, nil, &size, nil, nil); err != nil {
				t.Fatal(err)
			}
			if database != "app" || mode != "transaction" || size != 20 {
				t.Errorf("%s: %s %s %d", mode, database, mode, size)
			}
		}
		rows, err := c.Query(t.Context(), "SHOW DATABASES")
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil || len(list) != 1 || list[0]["name"] != "app" || list[0]["paused"] != int64(0) || list[0]["server_lifetime"] != nil {
			t.Errorf("%s: %v, %v", mode, list, err)
		}
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var version string
		if err := tx.QueryRow(t.Context(), "select version()").Scan(&version); err != nil || !strings.Contains(version, "PgDrover") {
			t.Errorf("%s: %q, %v", mode, version, err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), "SET extra_float_digits = 3"); err != nil {
			t.Error(err)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
