package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// stringAnswer is what a query string of several statements gives: of each its columns, rows and tag, then the SQLSTATE of what ended it. Rows are
// sorted, and the end of the session's transaction is said.
func stringAnswer(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	var list []string
	for _, r := range results {
		var names, rows []string
		for _, f := range r.FieldDescriptions {
			if f.DataTypeOID >= firstOwnType {
				f.DataTypeOID = 0
			}
			names = append(names, fmt.Sprint(f.Name, " ", f.DataTypeOID))
		}
		for _, row := range r.Rows {
			rows = append(rows, fmt.Sprintf("%q", row))
		}
		slices.Sort(rows)
		list = append(append(list, strings.Join(names, ", ")), rows...)
		list = append(list, r.CommandTag.String())
	}
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		list = append(list, fault.Code)
	} else if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return append(list, string(conn.PgConn().TxStatus()))
}

// TestTurns sends query strings of statements that go to different shards, as one server with all rows answers them.
func TestTurns(t *testing.T) {
	r, one := scatterRig(t, rigOptions{size: 3})
	all, conn := r.direct(one), r.connect("")
	for _, sql := range []string{
		"select * from orders where tenant_id = 1; select * from users where tenant_id = 2; select * from orders where tenant_id = 3",
		"select 1 as n; select id from orders where tenant_id = 1; select count(*) from countries; select id from orders where tenant_id in (2, 3, 4);",
		"select id from orders where tenant_id = 1 union select id from users where tenant_id = 2; select name from users where tenant_id = 3 -- end",
		"select id from orders where tenant_id = 1; select 1 / (id - 2) from orders where tenant_id = 2; select id from orders where tenant_id = 3",
		"select id from orders where tenant_id = 1; select nosuch from orders where tenant_id = 2",
		"begin", "select id from orders where tenant_id = 1; select id from orders where tenant_id = 2", "select count(*) from orders where tenant_id = 4",
		"select id from orders where tenant_id = 1; select 1 / 0 from orders where tenant_id = 2", "select id from orders where tenant_id = 1; select id from orders where tenant_id = 2", "rollback",
		"select id from orders where tenant_id = 1; select id from orders where tenant_id = 2",
	} {
		if got, want := stringAnswer(t, conn, sql), stringAnswer(t, all, sql); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s", sql, firstDifference(got, want))
		}
	}
}

// TestTurnsRefused: what writes is not taken apart, and no statement of it is carried out.
func TestTurnsRefused(t *testing.T) {
	r, _ := scatterRig(t, rigOptions{size: 3})
	conn := r.connect("")
	for i := int64(2); i < 30; i++ {
		if r.shardOf(i) == r.shardOf(1) {
			continue
		}
		sql := fmt.Sprintf("update orders set status = 'turned' where tenant_id = 1; select id from orders where tenant_id = %d", i)
		if got := stringAnswer(t, conn, sql); !slices.Equal(got, []string{"0A000", "I"}) {
			t.Errorf("%s: %q", sql, got)
		}
	}
	if got := stringAnswer(t, conn, "select count(*) from orders where tenant_id = 1 and status = 'turned'"); !slices.Contains(got, `["0"]`) {
		t.Errorf("a statement of a string that was refused was carried out: %q", got)
	}
}

// TestDefaultIsolation: a session may say for all its transactions that they see one snapshot, which several shards do not have.
func TestDefaultIsolation(t *testing.T) {
	r, _ := scatterRig(t, rigOptions{size: 3})
	other := int64(2)
	for r.shardOf(other) == r.shardOf(1) {
		other++
	}
	first, second := "select id from orders where tenant_id = 1", fmt.Sprintf("select id from orders where tenant_id = %d", other)
	for _, set := range []string{"set default_transaction_isolation to 'repeatable read'", "set session characteristics as transaction isolation level serializable"} {
		conn := r.connect("")
		r.exec(conn, set)
		r.exec(conn, second)
		r.refuses(conn, "0A000", first+"; "+second)
		r.exec(conn, "begin")
		r.exec(conn, first)
		r.refuses(conn, "0A000", second)
		r.exec(conn, "rollback")
		r.exec(conn, "begin isolation level read committed")
		r.exec(conn, first)
		r.exec(conn, second)
		r.exec(conn, "commit")
		r.exec(conn, "reset default_transaction_isolation")
		r.exec(conn, "begin")
		r.exec(conn, first+"; "+second)
		r.exec(conn, "commit")
	}
}

// TestChainedIsolation: a transaction that COMMIT or ROLLBACK AND CHAIN begins promises what the one before it did.
func TestChainedIsolation(t *testing.T) {
	r, _ := scatterRig(t, rigOptions{size: 3})
	other := int64(2)
	for r.shardOf(other) == r.shardOf(1) {
		other++
	}
	first, second := "select id from orders where tenant_id = 1", fmt.Sprintf("select id from orders where tenant_id = %d", other)
	for _, begin := range [][]string{{"begin isolation level repeatable read"}, {"begin", "set transaction isolation level serializable"}} {
		for _, end := range []string{"commit", "rollback"} {
			conn := r.connect("")
			for _, sql := range append(begin, first, end+" and chain", first) {
				r.exec(conn, sql)
			}
			if got := stringAnswer(t, conn, "show transaction_isolation"); slices.Contains(got, `["read committed"]`) {
				t.Errorf("%q, %s and chain: %s", begin, end, got)
			}
			r.refuses(conn, "0A000", second)
			r.exec(conn, "rollback")
		}
	}
}
