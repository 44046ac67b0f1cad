package admin

import (
	"context"
	"strings"

	"github.com/pgdrover/pgdrover/proxy"
)

// sessionCommand finds out whether a statement is one of those that drivers send by themselves, which the console answers as
// PostgreSQL would, or takes without doing anything.
func sessionCommand(tokens []token) (proxy.Command, bool) {
	if len(tokens) == 0 {
		return proxy.Command{}, false
	}
	switch first := tokens[0]; {
	case first.is("BEGIN"), beginsWith(tokens, "START TRANSACTION"):
		return proxy.Command{Block: proxy.BlockBegin}, true
	case first.is("COMMIT"), first.is("END"):
		return proxy.Command{Block: proxy.BlockCommit}, len(tokens) <= 2
	case first.is("ROLLBACK"), first.is("ABORT"):
		return proxy.Command{Block: proxy.BlockRollback}, len(tokens) <= 2
	case first.is("SET"):
		return ignored("SET"), isSessionSetting(tokens[1:])
	case first.is("RESET"), first.is("DISCARD"), first.is("DEALLOCATE"), first.is("UNLISTEN"):
		return ignored(strings.ToUpper(first.text)), true
	case beginsWith(tokens, "CLOSE ALL"):
		return ignored("CLOSE CURSOR ALL"), len(tokens) == 2
	case first.is("SELECT"):
		return selected(tokens[1:])
	case first.is("SHOW"):
		return shown(tokens[1:])
	}
	return proxy.Command{}, false
}

func beginsWith(tokens []token, words string) bool {
	_, ok := match(tokens, words)
	return ok
}

// ignored is a statement that does nothing.
func ignored(tag string) proxy.Command {
	return proxy.Command{Run: func(context.Context, string) (proxy.Table, error) { return proxy.Table{Tag: tag}, nil }}
}

// sessionSettings are the settings of PostgreSQL that drivers set or ask for, and what SHOW says of them on the console. What is SET
// changes nothing: no answer of the console depends on it.
func sessionSettings() map[string]string {
	return map[string]string{
		"application_name": "", "bytea_output": "hex", "client_encoding": "UTF8", "client_min_messages": "notice", "datestyle": "ISO, MDY",
		"default_transaction_isolation": "read committed", "default_transaction_read_only": "off", "extra_float_digits": "1",
		"idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0", "in_hot_standby": "off", "integer_datetimes": "on",
		"intervalstyle": "postgres", "jit": "off", "lock_timeout": "0", "max_identifier_length": "63", "names": "UTF8", "search_path": "\"$user\", public",
		"server_encoding": "UTF8", "server_version": "15.0 (PgDrover console)", "server_version_num": "150000", "session": "", "standard_conforming_strings": "on",
		"statement_timeout": "0", "time": "UTC", "timezone": "UTC", "transaction": "", "transaction_isolation": "read committed",
		"transaction_read_only": "off", "transaction_timeout": "0",
	}
}

// isSessionSetting reports whether a SET is about one of them.
func isSessionSetting(tokens []token) bool {
	for len(tokens) > 1 && (tokens[0].is("LOCAL") || tokens[0].is("SESSION") && !tokens[1].is("CHARACTERISTICS")) {
		tokens = tokens[1:]
	}
	if len(tokens) < 2 {
		return false
	}
	name, _, _ := strings.Cut(tokens[0].text, "=")
	_, known := sessionSettings()[strings.ToLower(name)]
	return known
}

// shown is a SHOW of one of them.
func shown(tokens []token) (proxy.Command, bool) {
	if len(tokens) == 0 {
		return proxy.Command{}, false
	}
	name := strings.ToLower(tokens[0].text)
	switch {
	case beginsWith(tokens, "TRANSACTION ISOLATION LEVEL") && len(tokens) == 3:
		name = "transaction_isolation"
	case beginsWith(tokens, "TIME ZONE") && len(tokens) == 2:
		name = "timezone"
	case len(tokens) != 1:
		return proxy.Command{}, false
	}
	value, known := sessionSettings()[name]
	return oneValue("SHOW", name, func(string) string { return value }), known
}

// selected is a SELECT of one of the few things that drivers ask for.
func selected(tokens []token) (proxy.Command, bool) {
	var text strings.Builder
	for _, t := range tokens {
		text.WriteString(t.text)
	}
	asked := strings.TrimPrefix(strings.ToLower(text.String()), "pg_catalog.")
	same := func(value string) func(string) string { return func(string) string { return value } }
	values := map[string]func(user string) string{
		"1": same("1"), "version()": same("PostgreSQL 15.0 (PgDrover console)"), "current_database()": same("pgdrover"),
		"current_schema()": same("public"), "current_schema": same("public"), "pg_is_in_recovery()": same("f"), "pg_advisory_unlock_all()": same(""),
		"current_user": func(user string) string { return user }, "session_user": func(user string) string { return user },
	}
	value, known := values[asked]
	name := strings.TrimSuffix(asked, "()")
	if name == "1" {
		name = "?column?"
	}
	return oneValue("SELECT 1", name, value), known
}

// oneValue is a statement with one row of one value.
func oneValue(tag, name string, value func(user string) string) proxy.Command {
	columns := []proxy.Column{{Name: name, Number: name == "?column?"}}
	return proxy.Command{Columns: columns, Run: func(_ context.Context, user string) (proxy.Table, error) {
		return proxy.Table{Columns: columns, Rows: [][]string{{value(user)}}, Tag: tag}, nil
	}}
}
