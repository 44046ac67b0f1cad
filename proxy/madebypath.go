package proxy

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// mayMake refuses to make something in the tenant's schema that the search path begins with where there is no such schema: PostgreSQL
// would make it in the next one of the path, a shared one, on the tenant's shard alone.
func (s *session) mayMake(q *router.Query, r *router.Route) *pgwire.Error {
	if r.Kind != router.Single || s.place.single() || !makesByPath(q) || s.tx.aborted {
		return nil
	}
	var names, said []string
	for _, k := range router.PathTenants(s.place.shards, s.env.SearchPath) {
		if schema, ok := s.place.shards.SchemaOf(k); ok {
			names, said = append(names, quoteLiteral(schema)), append(said, strconv.Quote(schema))
		}
	}
	found, e := s.asks(r.Shard, "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname IN ("+strings.Join(names, ",")+
		") AND pg_catalog.has_schema_privilege(oid, 'USAGE')")
	if e != nil || found != "0" {
		return e
	}
	return &pgwire.Error{Code: "3F000", Message: "schema " + strings.Join(said, ", ") + " does not exist, and the search path begins with it",
		Detail: "PostgreSQL would take the next schema of the path, which other tenants share, on shard " + s.place.shards.Shard(r.Shard).Name + " alone.",
		Hint:   "create the tenant's schema first, or write the schema before the name"}
}

// makesByPath reports whether the first statement of a query string that is DDL is of that kind: what comes before another may be what
// makes the schema.
func makesByPath(q *router.Query) bool {
	for i := range q.Statements() {
		st := &q.Statements()[i]
		if st.MadeByPath || st.Redefines || st.Reshapes {
			return st.MadeByPath
		}
	}
	return false
}

// asks asks a shard for one value: in the open transaction, if the shard has joined it.
func (s *session) asks(shard int, sql string) (string, *pgwire.Error) {
	for _, l := range s.inTransaction() {
		if l.shard != shard {
			continue
		}
		if !s.settleBatch() || s.skipping {
			return "", errAborted
		}
		out := sink{keep: true}
		l.sendQuery(sql)
		s.command(l, &out, time.Now().Add(catalogTime))
		if out.fault != nil {
			return "", out.fault
		}
		value, err := firstValue(out.frames)
		if err != nil {
			return "", clientError(err)
		}
		return string(value), nil
	}
	var value string
	var err error
	s.t.Await(func() {
		ctx, cancel := context.WithTimeout(context.Background(), catalogTime)
		defer cancel()
		rows, failed := s.db.cluster.Exec(ctx, s.place.shards.Shard(shard).Name, pool.Primary, sql)
		if err = failed; err == nil {
			value = string(rows.Rows[0][0])
		}
	})
	if err != nil {
		return "", clientError(err)
	}
	return value, nil
}
