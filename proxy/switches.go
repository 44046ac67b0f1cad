package proxy

import (
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
)

// The startup parameter "options" is a command line of the server's (manual, "postgres"): -c name=value and --name=value, and
// switches of one letter, of which some stand for settings and some are for a server that starts.

// switchSettings are the letters without an argument that stand for a setting, and those that mean nothing to a session.
var switchSettings = map[byte]pgwire.Param{
	'e': {Name: "datestyle", Value: "euro"}, 'F': {Name: "fsync", Value: "false"}, 'i': {Name: "listen_addresses", Value: "*"},
	'l': {Name: "ssl", Value: "true"}, 'O': {Name: "allow_system_table_mods", Value: "true"},
	'P': {Name: "ignore_system_indexes", Value: "true"}, 's': {Name: "log_statement_stats", Value: "true"},
	'b': {}, 'E': {}, 'j': {}, 'n': {}, 'T': {},
}

// switchNames are the letters with an argument, and the setting that it is the value of; empty for those that mean nothing to a
// session, or are looked at one by one.
var switchNames = map[byte]string{
	'B': "shared_buffers", 'h': "listen_addresses", 'k': "unix_socket_directories", 'N': "max_connections", 'p': "port",
	'S': "work_mem", 'W': "post_auth_delay", 'C': "", 'D': "", 'r': "", 'v': "", 'c': "", 'd': "", 'f': "", 't': "",
}

// plansOff are the letters of -f and the kinds of plan that they switch off; statistics those of -t.
var (
	plansOff = map[string]string{"s": "enable_seqscan", "i": "enable_indexscan", "o": "enable_indexonlyscan", "b": "enable_bitmapscan",
		"t": "enable_tidscan", "n": "enable_nestloop", "m": "enable_mergejoin", "h": "enable_hashjoin"}
	statistics = map[string]string{"pa": "log_parser_stats", "pl": "log_planner_stats", "e": "log_executor_stats"}
)

// splitOptions reads the settings that the parameter "options" stands for.
func splitOptions(s string) ([]pgwire.Param, *pgwire.Error) {
	var list []pgwire.Param
	for words := optionWords(s); len(words) > 0; {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--" && len(words) == 0:
			return list, nil
		case len(word) < 2 || word[0] != '-' || word == "--":
			return nil, invalidSwitch(word)
		case word[1] == '-':
			p, e := longOption(word[2:], "--")
			if e != nil {
				return nil, e
			}
			list = append(list, p)
			continue
		}
		some, rest, e := letters(word, words)
		if e != nil {
			return nil, e
		}
		list, words = append(list, some...), rest
	}
	return list, nil
}

// letters reads a word of switches of one letter, the last of which may have its argument in the next word.
func letters(word string, words []string) (list []pgwire.Param, rest []string, e *pgwire.Error) {
	for i := 1; i < len(word); i++ {
		if p, ok := switchSettings[word[i]]; ok {
			if p.Name != "" {
				list = append(list, p)
			}
			continue
		}
		if _, ok := switchNames[word[i]]; !ok {
			return nil, nil, invalidSwitch(word)
		}
		argument := word[i+1:]
		if argument == "" {
			if len(words) == 0 {
				return nil, nil, invalidSwitch(word)
			}
			argument, words = words[0], words[1:]
		}
		some, e := letter(word[i], argument, word)
		return append(list, some...), words, e
	}
	return list, words, nil
}

// letter is what a letter with an argument stands for.
func letter(c byte, argument, word string) ([]pgwire.Param, *pgwire.Error) {
	switch c {
	case 'c':
		p, e := longOption(argument, "-c ")
		return []pgwire.Param{p}, e
	case 'd':
		return debugOptions(argument), nil
	case 'f':
		if name, ok := plansOff[argument[:1]]; ok {
			return []pgwire.Param{{Name: name, Value: "false"}}, nil
		}
		return nil, invalidSwitch(word)
	case 't':
		for begin, name := range statistics {
			if strings.HasPrefix(argument, begin) {
				return []pgwire.Param{{Name: name, Value: "true"}}, nil
			}
		}
		return nil, invalidSwitch(word)
	}
	if switchNames[c] == "" {
		return nil, nil
	}
	return []pgwire.Param{{Name: switchNames[c], Value: argument}}, nil
}

// debugOptions are the settings of a debug level.
func debugOptions(argument string) []pgwire.Param {
	level, _ := strconv.Atoi(argument)
	if level <= 0 {
		return []pgwire.Param{{Name: "log_min_messages", Value: "notice"}}
	}
	list := []pgwire.Param{{Name: "log_min_messages", Value: "debug" + strconv.Itoa(level)}}
	for i, p := range []pgwire.Param{{Name: "log_statement", Value: "all"}, {Name: "debug_print_parse", Value: "true"},
		{Name: "debug_print_plan", Value: "true"}, {Name: "debug_print_rewritten", Value: "true"}} {
		if level >= i+2 {
			list = append(list, p)
		}
	}
	return list
}

// longOption reads name=value; before says what stands before it.
func longOption(s, before string) (pgwire.Param, *pgwire.Error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return pgwire.Param{}, &pgwire.Error{Code: "42601", Message: before + name + " requires a value"}
	}
	return pgwire.Param{Name: strings.ReplaceAll(name, "-", "_"), Value: value}, nil
}

func invalidSwitch(word string) *pgwire.Error {
	return &pgwire.Error{Code: "42601", Message: "invalid command-line argument for server process: " + word,
		Hint: `Try "postgres --help" for more information.`}
}

// optionWords splits at blanks, but for those after a backslash.
func optionWords(s string) []string {
	var words []string
	var w strings.Builder
	begun := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			w.WriteByte(s[i])
			begun = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if begun {
				words = append(words, w.String())
				w.Reset()
				begun = false
			}
		default:
			w.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, w.String())
	}
	return words
}
