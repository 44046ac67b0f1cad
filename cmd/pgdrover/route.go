package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgdrover/pgdrover/router"
	"github.com/pgdrover/pgdrover/shardmap"
)

const routeHelp = `Say where a statement would go, and why: which shard or shards, primary or replica, and
for which tenant. The statement is not run.

The router needs the catalog: which table has which columns, which function may write.
It is read from the first shard that answers, or from a file with --catalog, and then
no server is asked. --save-catalog writes such a file.

With --file or --statements it reads many statements instead of one, and reports what share
of them goes to one shard, would have to be answered from all shards, or would be refused,
with the reasons: run it before you put PgDrover in front of an application. --file reads
SQL statements that end in semicolons. --statements reads what pg_stat_statements has seen,
as CSV with a header and the columns query and calls:

  psql --csv -c 'select query, calls from pg_stat_statements' > statements.csv

There $1, $2, … have no values: where one says which tenant a statement is for, it goes to
one shard, whichever that is. Each statement is judged by itself: what SET, PREPARE or DDL
before it did does not count. A file called - is the standard input.

The exit status is 1 when a statement would be refused, also for want of scatter: reads.`

const routeExample = `  pgdrover route 'select * from orders where tenant_id = 42'
  pgdrover route 'update orders set paid = true where tenant_id = $1 and id = $2' --param 42 --param 7
  pgdrover route 'select count(*) from orders' --tenant 42
  pgdrover route --statements statements.csv
  pgdrover route --file queries.sql --list
  pgdrover route --save-catalog catalog.json && pgdrover route --catalog catalog.json 'select 1'`

// routeOptions are the flags of route.
type routeOptions struct {
	params      []string
	tenant      string
	hasTenant   bool
	catalog     string
	saveCatalog string
	searchPath  string
	user        string
	file        string
	statements  string
	list        bool
	json        bool
}

// many reports that a workload is to be read, not one statement.
func (o routeOptions) many() bool { return o.file != "" || o.statements != "" }

// check finds flags and arguments that do not go together.
func (o routeOptions) check(args []string) error {
	switch {
	case o.file != "" && o.statements != "":
		return usageErrorf("--file and --statements are two reports: ask for one at a time")
	case o.many() && len(args) > 0:
		return usageErrorf("a statement and a file of statements are two questions: ask one at a time")
	case o.many() && len(o.params) > 0:
		return usageErrorf("--param is for one statement: those of a file are judged for all values")
	case o.list && !o.many():
		return usageErrorf("--list needs --file or --statements")
	case len(args) == 0 && o.saveCatalog == "" && !o.many():
		return usageErrorf("a statement is missing: write pgdrover route 'SELECT …'")
	}
	return nil
}

func newRouteCommand() *cobra.Command {
	var o routeOptions
	cmd := &cobra.Command{
		Use:     "route 'SQL'",
		Short:   "Say where a statement would go, and why",
		Long:    routeHelp,
		Example: routeExample,
		Args:    cobra.MaximumNArgs(1),
	}
	flags := addDatabaseFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&o.params, "param", "p", nil, "the `VALUE` of $1, in text form; repeat it for $2, $3, …")
	f.StringVarP(&o.tenant, "tenant", "t", "", "the tenant `KEY` that the session has SET")
	f.StringVar(&o.catalog, "catalog", "", "read the catalog from `FILE` instead of asking a shard")
	f.StringVar(&o.saveCatalog, "save-catalog", "", "write the catalog to `FILE`")
	f.StringVar(&o.searchPath, "search-path", "", "the session's search_path, a `LIST` (default \"$user\", public)")
	f.StringVar(&o.user, "user", "", "the `NAME` of the session's user, for \"$user\" in the search path (default that of the backends)")
	f.StringVarP(&o.file, "file", "f", "", "report on the SQL statements in `FILE`")
	f.StringVar(&o.statements, "statements", "", "report on a dump of pg_stat_statements, a CSV `FILE`")
	f.BoolVar(&o.list, "list", false, "with --file or --statements: list every statement with its route")
	f.BoolVar(&o.json, "json", false, "answer in JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.hasTenant = cmd.Flags().Changed("tenant")
		if err := o.check(args); err != nil {
			return err
		}
		_, p, err := flags.load()
		if err != nil {
			return err
		}
		if o.user == "" {
			o.user = p.db.Backend.User
		}
		streams := stdio{in: cmd.InOrStdin(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
		return routeCommand(cmd.Context(), streams, p, o, strings.Join(args, ""))
	}
	return cmd
}

// routeCommand reads the catalog, saves it if asked to, and explains the route of sql, unless that is empty, or of a
// workload.
func routeCommand(ctx context.Context, streams stdio, p *placement, o routeOptions, sql string) error {
	m, err := p.toMap()
	if err != nil {
		return err
	}
	catalog, err := routeCatalog(ctx, p, m, o.catalog)
	if err != nil {
		return err
	}
	if o.saveCatalog != "" {
		if err := os.WriteFile(o.saveCatalog, append(catalog.Encode(), '\n'), 0o644); err != nil {
			return fmt.Errorf("save the catalog: %w", err)
		}
	}
	env := router.Env{SearchPath: o.searchPath, User: o.user, Scatter: p.db.Scatter == ScatterReads}
	if o.hasTenant {
		if env.Tenant, err = m.TenantType().ParseText([]byte(o.tenant)); err != nil {
			return usageErrorf("--tenant: %v", err)
		}
		env.TenantSource = router.SourceSet
	}
	r := router.New(m, catalog, router.Options{Cached: cachedTables(p.db.Cache.Tables), Holding: holdFunctions(p.db.HoldFunctions)})
	switch {
	case o.many():
		return routeWorkload(ctx, streams, &judge{r: r, env: env}, o)
	case sql == "":
		return nil
	}
	answer, refusal := explainRoute(r, &env, p.db, sql, o.bound())
	if o.json {
		err = printJSON(streams.out, answer)
	} else {
		err = answer.print(streams.out)
	}
	if err == nil && refusal {
		return exitStatus(exitError)
	}
	return err
}

// routeCatalog reads the catalog from a file, or from a shard if none is named.
func routeCatalog(ctx context.Context, p *placement, m *shardmap.Map, file string) (*router.Catalog, error) {
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--catalog: %w", err)
		}
		catalog, err := router.ParseCatalog(text)
		if err != nil {
			return nil, fmt.Errorf("--catalog %s: %w", file, err)
		}
		return catalog, nil
	}
	nodes, err := newAsker(p.name, p.db)
	if err != nil {
		return nil, err
	}
	defer nodes.close(ctx)
	catalog, err := nodes.anyCatalog(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("%w\nWith --catalog FILE no server is asked", err)
	}
	return catalog, nil
}

// textParams are parameters in text form.
type textParams []string

// bound are the parameters of the command line; none is the simple protocol.
func (o routeOptions) bound() router.Params {
	if len(o.params) == 0 {
		return nil
	}
	return textParams(o.params)
}

// Len is the number of parameters.
func (p textParams) Len() int { return len(p) }

// Param gives the text of one.
func (p textParams) Param(i int) (value []byte, binary, null bool) { return []byte(p[i]), false, false }

// OID leaves the type to the server.
func (p textParams) OID(int) uint32 { return 0 }

// routeAnswer is what route says of a statement.
type routeAnswer struct {
	Statement string   `json:"statement"`
	Shards    []string `json:"shards,omitempty"`
	Role      string   `json:"role,omitempty"`
	Tenant    string   `json:"tenant,omitempty"`
	Partition *int     `json:"partition,omitempty"`
	Pinned    bool     `json:"pinned,omitempty"`
	Cacheable bool     `json:"cacheable"`
	Why       string   `json:"why,omitempty"`
	Epoch     uint64   `json:"epoch"`
	Error     *refusal `json:"error,omitempty"`
}

// refusal is why PgDrover would not take the statement.
type refusal struct {
	SQLState string `json:"sqlstate"`
	Message  string `json:"message"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// explainRoute routes a statement and says why. The second result reports that it would be refused.
func explainRoute(r *router.Router, env *router.Env, db *Database, sql string, params router.Params) (routeAnswer, bool) {
	m := r.Map()
	answer := routeAnswer{Statement: sql, Epoch: m.Epoch()}
	var q router.Query
	r.Analyse(&q, []byte(sql), env)
	ask := r.Route
	if q.Statements()[0].Verb == router.ExplainRoute {
		ask = r.Inner
	}
	route, err := ask(&q, params, env)
	if err != nil {
		answer.Error = refusalOf(err)
		return answer, true
	}
	answer.Shards, answer.Role = whereTo(m, route, &q, db)
	if !route.Tenant.IsZero() {
		partition := m.Partition(route.Tenant)
		answer.Tenant, answer.Partition = route.Tenant.String(), &partition
		_, answer.Pinned = m.Pin(route.Tenant)
	}
	answer.Cacheable = route.Cacheable
	answer.Why = q.Why(route)
	return answer, false
}

// whereTo names the shards and the role that serves.
func whereTo(m *shardmap.Map, route router.Route, q *router.Query, db *Database) (shards []string, role string) {
	role = "primary"
	if !route.Write && db.Reads.To == ReadReplicas {
		role = "replica"
	}
	switch route.Kind {
	case router.Single:
		if len(m.Shard(route.Shard).Replicas) == 0 {
			role = "primary"
		}
		return []string{m.Shard(route.Shard).Name}, role
	case router.Local:
		return nil, "answered by PgDrover"
	case router.Any:
		return []string{"any"}, role
	case router.Several:
		for _, share := range q.Gathering().Shares() {
			shards = append(shards, m.Shard(share.Shard).Name)
		}
		return shards, role
	case router.InTurn:
		for i, turn := range q.Turns() {
			own, _ := whereTo(m, turn.Route, turn.Query, db)
			shards = append(shards, fmt.Sprintf("%d: %s", i+1, strings.Join(own, " and ")))
		}
		return shards, role
	}
	for _, shard := range m.Shards() {
		shards = append(shards, shard.Name)
	}
	return shards, role
}

func refusalOf(err error) *refusal {
	var e *router.Error
	if !errors.As(err, &e) {
		return &refusal{SQLState: "XX000", Message: err.Error()}
	}
	return &refusal{SQLState: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint}
}

// print writes the answer in aligned lines.
func (a routeAnswer) print(w io.Writer) error {
	if a.Error != nil {
		rows := [][]string{{"refused", a.Error.Message + " (SQLSTATE " + a.Error.SQLState + ")"}}
		return table(w, appendIf(appendIf(rows, "detail", a.Error.Detail), "hint", a.Error.Hint)...)
	}
	rows := appendIf(nil, "shard", strings.Join(a.Shards, ", "))
	rows = appendIf(rows, "role", a.Role)
	rows = appendIf(rows, "tenant", a.Tenant)
	switch {
	case a.Pinned:
		rows = appendIf(rows, "partition", fmt.Sprintf("%d, but the tenant is pinned", *a.Partition))
	case a.Partition != nil:
		rows = appendIf(rows, "partition", strconv.Itoa(*a.Partition))
	}
	return table(w, appendIf(rows, "why", a.Why)...)
}

func appendIf(rows [][]string, label, text string) [][]string {
	if text == "" {
		return rows
	}
	return append(rows, []string{label, text})
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
