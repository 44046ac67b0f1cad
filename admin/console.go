package admin

import (
	"context"
	"errors"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/proxy"
)

// Console answers the statements of psql sessions on database "pgdrover". It is a proxy.Console.
type Console struct {
	opt Options
}

var _ proxy.Console = (*Console)(nil)

// NewConsole returns a console.
func NewConsole(o Options) *Console { return &Console{o.withDefaults()} }

// statement is one statement of the console.
type statement struct {
	words   string // what it begins with, in upper case
	args    string // what follows, as the help shows it; empty: nothing may follow
	meaning string
	run     func(c *Console, user string, args []token) (proxy.Table, error)
}

// statements lists all statements, in the order of the help.
func statements() []statement {
	return []statement{
		{"SHOW HELP", "", "this list", (*Console).help},
		{"SHOW POOLS", "", "each node and its pool: backends, clients, waits", showing(pools)},
		{"SHOW CLIENTS", "", "who is connected, and what they are doing", showing(clients)},
		{"SHOW BACKENDS", "", "connections to the nodes", showing(backends)},
		{"SHOW SERVERS", "", "the same as SHOW BACKENDS", showing(backends)},
		{"SHOW SHARDS", "", "what each shard owns, and the epoch in force", showing(shards)},
		{"SHOW TENANT", "'KEY' [IN DATABASE]", "where a tenant lives", (*Console).tenant},
		{"SHOW DATABASES", "", "what clients may connect to", showing(databases)},
		{"SHOW USERS", "", "who may log in", (*Console).users},
		{"SHOW STATS", "", "statements and their times, by shard and role", showing(stats)},
		{"SHOW CACHE", "", "the result caches", showing(caches)},
		{"SHOW CONFIG", "", "the settings in force", (*Console).config},
		{"SHOW VERSION", "", "the version of PgDrover", (*Console).version},
		{"RELOAD", "", "read the configuration and the shard maps again", (*Console).reload},
	}
}

// Run answers one statement. Its errors are *pgwire.Error.
func (c *Console) Run(user, sql string) (proxy.Table, error) {
	tokens, err := tokenise(sql)
	if err != nil {
		return proxy.Table{}, err
	}
	for _, s := range statements() {
		args, ok := match(tokens, s.words)
		switch {
		case !ok:
		case s.args == "" && len(args) > 0:
			return proxy.Table{}, unknown(sql, s.words+" takes nothing after it")
		default:
			return s.run(c, user, args)
		}
	}
	return proxy.Table{}, unknown(sql, hint())
}

// match reports whether tokens begin with the words, and returns those after them.
func match(tokens []token, words string) (rest []token, ok bool) {
	for word := range strings.FieldsSeq(words) {
		if len(tokens) == 0 || !tokens[0].is(word) {
			return nil, false
		}
		tokens = tokens[1:]
	}
	return tokens, true
}

// showing makes a statement of a function that shows part of a view.
func showing(show func(*view) proxy.Table) func(*Console, string, []token) (proxy.Table, error) {
	return func(c *Console, _ string, _ []token) (proxy.Table, error) {
		v := look(c.opt.Server())
		return show(&v), nil
	}
}

// unknown is the error for a statement that the console does not have.
func unknown(sql, hint string) *pgwire.Error {
	const shown = 100
	if cut := []rune(sql); len(cut) > shown {
		sql = string(cut[:shown]) + "…"
	}
	return &pgwire.Error{Code: "42601", Message: "the console does not know this statement: " + sql, Hint: hint}
}

// hint lists the statements in one sentence.
func hint() string {
	var texts []string
	for _, s := range statements() {
		texts = append(texts, strings.TrimSpace(s.words+" "+s.args))
	}
	return "it knows " + strings.Join(texts, ", ")
}

func (c *Console) help(string, []token) (proxy.Table, error) {
	return tabulate([]column[statement]{
		{"statement", func(s statement) string { return strings.TrimSpace(s.words + " " + s.args) }},
		{"meaning", func(s statement) string { return s.meaning }},
	}, statements()), nil
}

func (c *Console) version(string, []token) (proxy.Table, error) {
	return tabulate([]column[string]{
		{"version", func(v string) string { return v }},
	}, []string{"PgDrover " + c.opt.Version}), nil
}

func (c *Console) config(string, []token) (proxy.Table, error) {
	return tabulate([]column[[2]string]{
		{"key", func(s [2]string) string { return s[0] }},
		{"value", func(s [2]string) string { return s[1] }},
	}, c.opt.Config()), nil
}

func (c *Console) reload(user string, _ []token) (proxy.Table, error) {
	if c.opt.Reload == nil {
		return proxy.Table{}, &pgwire.Error{Code: "0A000", Message: "this PgDrover cannot reload its configuration",
			Hint: "start it again to have it read its files"}
	}
	c.opt.Log.Info("reload asked for on the console", "user", user)
	err := c.opt.Reload(context.Background())
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
