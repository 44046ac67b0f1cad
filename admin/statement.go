package admin

import (
	"context"
	"errors"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/proxy"
)

// statement is one statement of the console.
type statement struct {
	words   string // what it begins with, in upper case
	args    string // what follows, as the help shows it; empty: nothing may follow
	meaning string
	columns func(*Console) []proxy.Column // of its rows, before there are any; nil: it has none
	filter  string                        // the column by which an argument chooses rows; empty: arguments are for run
	run     func(c *Console, ctx context.Context, user string, args []token) (proxy.Table, error)
}

// statements lists all statements, in the order of the help. Of two that begin alike the longer one comes first.
func statements() []statement {
	list := []statement{
		{"SHOW HELP", "", "this list", helpColumns, "", (*Console).help},
		showing("SHOW POOLS", "[DATABASE]", "database", "backends, clients and waits of each database", pools),
		showing("SHOW NODES", "[NODE]", "node", "the same of each node, and how it is", nodes),
		showing("SHOW CLIENTS", "[ID]", "id", "who is connected, and what they are doing", clients),
		showing("SHOW SERVERS", "[ID]", "id", "backends: connections to the nodes", servers),
		showing("SHOW BACKENDS", "[ID]", "id", "the same as SHOW SERVERS", servers),
		showing("SHOW SHARDS", "[DATABASE]", "database", "what each shard owns, and the epoch in force", shards),
		{"SHOW TENANT", "'KEY' [IN DATABASE]", "where a tenant lives", tenantColumns, "", (*Console).tenant},
		showing("SHOW DATABASES", "[DATABASE]", "name", "what clients may connect to", databases),
		{"SHOW USERS", "[USER]", "who may log in", usersColumns, "name", (*Console).showUsers},
		showing("SHOW STATS", "[DATABASE]", "database", "what clients have done, in all and of late", stats),
		showing("SHOW STATS_TOTALS", "[DATABASE]", "database", "in all", statsTotals),
		showing("SHOW STATS_AVERAGES", "[DATABASE]", "database", "within the last minute", statsAverages),
		showing("SHOW TOTALS", "", "", "in all databases together", totals),
		showing("SHOW TRAFFIC", "[DATABASE]", "database", "statements and their times, by shard and role", traffics),
		showing("SHOW CACHE", "[DATABASE]", "database", "the result caches", caches),
		showing("SHOW DRY_RUN", "[DATABASE]", "database", "what would become of statements by another shard map", dryRuns),
		showing("SHOW TWO_PHASE", "[DATABASE]", "database", "what transactions on several shards have left prepared", twoPhase),
		showing("SHOW PEERS", "[ID]", "peer_id", "the proxies that cancel requests are passed on to", peers),
		showing("SHOW LISTS", "", "", "how many there are of what", lists),
		showing("SHOW STATE", "", "", "whether everything is paused", state),
		{"SHOW CONFIG", "[KEY]", "the settings in force", configColumns, "key", (*Console).config},
		{"SHOW VERSION", "", "the version of PgDrover", versionColumns, "", (*Console).version},
	}
	return append(list, orders()...)
}

// showing makes a statement of a function that shows part of a view.
func showing(words, args, filter, meaning string, show func(*view) proxy.Table) statement {
	return statement{
		words: words, args: args, meaning: meaning, filter: filter,
		columns: func(*Console) []proxy.Column { return show(&view{}).Columns },
		run: func(c *Console, _ context.Context, _ string, _ []token) (proxy.Table, error) {
			v := look(c.opt.Server())
			return show(&v), nil
		},
	}
}

func (c *Console) help(context.Context, string, []token) (proxy.Table, error) {
	return tabulate([]column[statement]{
		word("statement", func(s statement) string { return strings.TrimSpace(s.words + " " + s.args) }),
		word("meaning", func(s statement) string { return s.meaning }),
	}, statements()), nil
}

func helpColumns(*Console) []proxy.Column {
	return []proxy.Column{{Name: "statement"}, {Name: "meaning"}}
}

func (c *Console) version(context.Context, string, []token) (proxy.Table, error) {
	return proxy.Table{Columns: versionColumns(c), Rows: [][]string{{"PgDrover " + c.opt.Version}}, Tag: "SHOW"}, nil
}

func versionColumns(*Console) []proxy.Column { return []proxy.Column{{Name: "version"}} }

func (c *Console) config(context.Context, string, []token) (proxy.Table, error) {
	return configTable(c.opt.Config()), nil
}

func configTable(settings []Setting) proxy.Table {
	return tabulate([]column[Setting]{
		word("key", func(s Setting) string { return s.Key }),
		word("value", func(s Setting) string { return s.Value }),
		word("default", func(s Setting) string { return s.Default }),
		word("changeable", func(s Setting) string { return yes(s.Changeable) }),
	}, settings)
}

func configColumns(*Console) []proxy.Column { return configTable(nil).Columns }

func (c *Console) showUsers(context.Context, string, []token) (proxy.Table, error) {
	v := look(c.opt.Server())
	return c.users(&v), nil
}

func usersColumns(c *Console) []proxy.Column { return c.users(&view{}).Columns }

func (c *Console) reload(ctx context.Context, user string, _ []token) (proxy.Table, error) {
	if c.opt.Reload == nil {
		return proxy.Table{}, &pgwire.Error{Code: "0A000", Message: "this PgDrover cannot reload its configuration",
			Hint: "start it again to have it read its files"}
	}
	c.opt.Log.Info("reload asked for on the console", "user", user)
	err := c.opt.Reload(context.WithoutCancel(ctx)) // half a reload helps nobody
	if err == nil {
		return proxy.Table{Tag: "RELOAD"}, nil
	}
	refused := &pgwire.Error{Code: "F0000", Message: "reload refused: " + err.Error(), Hint: "what was in force still is"}
	var cause *pgwire.Error
	if errors.As(err, &cause) {
		refused.Code, refused.Detail = cause.Code, cause.Detail
	}
	return proxy.Table{}, refused
}
