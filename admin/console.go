package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/proxy"
)

// Console answers the statements of sessions on database "pgdrover". It is a proxy.Console.
type Console struct {
	opt Options
}

var _ proxy.Console = (*Console)(nil)

// NewConsole returns a console.
func NewConsole(o Options) *Console { return &Console{o.withDefaults()} }

// Read gives the statements of a text. Its errors are *pgwire.Error.
func (c *Console) Read(text string) ([]proxy.Command, error) {
	parts, err := split(text)
	if err != nil {
		return nil, err
	}
	commands := make([]proxy.Command, 0, len(parts))
	for _, p := range parts {
		command, err := c.read(p)
		if err != nil {
			return nil, err
		}
		commands = append(commands, command)
	}
	return commands, nil
}

// read finds out what one statement is.
func (c *Console) read(p part) (proxy.Command, error) {
	if i := slices.IndexFunc(p.tokens, token.isParameter); i >= 0 {
		return proxy.Command{}, &pgwire.Error{Code: "42P02", Message: "there is no parameter " + p.tokens[i].text,
			Hint: "the console takes no parameters: write the value"}
	}
	if command, ok := sessionCommand(p.tokens); ok {
		return command, nil
	}
	for _, s := range statements() {
		args, ok := match(p.tokens, s.words)
		switch {
		case !ok:
		case s.args == "" && len(args) > 0:
			return proxy.Command{}, unknown(p.text, s.words+" takes nothing after it")
		case s.filter != "" && len(args) > 1:
			return proxy.Command{}, unknown(p.text, s.words+" takes one "+s.filter+" after it")
		default:
			return c.command(s, args), nil
		}
	}
	return proxy.Command{}, unknown(p.text, hint())
}

// command makes a statement with its arguments ready to run.
func (c *Console) command(s statement, args []token) proxy.Command {
	command := proxy.Command{Run: func(ctx context.Context, user string) (proxy.Table, error) {
		table, err := s.run(c, ctx, user, args)
		if s.filter != "" && len(args) == 1 {
			table = filtered(table, s.filter, args[0].text)
		}
		return table, err
	}}
	if s.columns != nil {
		command.Columns = s.columns(c)
	}
	return command
}

// filtered keeps the rows that have a value in a column.
func filtered(t proxy.Table, name, value string) proxy.Table {
	at := slices.IndexFunc(t.Columns, func(c proxy.Column) bool { return c.Name == name })
	t.Rows = slices.DeleteFunc(t.Rows, func(row []string) bool { return row[at] != value })
	return t
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
