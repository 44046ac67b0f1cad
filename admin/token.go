package admin

import (
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
)

// token is one word of a statement.
type token struct {
	text   string
	quoted bool
}

// is reports whether the token is a word of the language, in whatever case.
func (t token) is(word string) bool { return !t.quoted && strings.EqualFold(t.text, word) }

const blanks = " \t\r\n\f\v"

// tokenise splits a statement into words. Words in single or double quotes may hold anything, the quote doubled. Comments are
// blanks, and semicolons at the end are dropped.
func tokenise(sql string) ([]token, error) {
	var tokens []token
	for rest := strings.TrimRight(sql, blanks+";"); ; {
		rest = skipBlanks(rest)
		if rest == "" {
			return tokens, nil
		}
		switch rest[0] {
		case '\'', '"':
			text, after, closed := cutQuoted(rest[1:], rest[:1])
			if !closed {
				return nil, syntaxError("a quote is not closed")
			}
			tokens, rest = append(tokens, token{text, true}), after
		case ';':
			return nil, syntaxError("the console takes one statement at a time")
		default:
			end := strings.IndexAny(rest, blanks+`;'"`)
			if end < 0 {
				end = len(rest)
			}
			tokens, rest = append(tokens, token{rest[:end], false}), rest[end:]
		}
	}
}

// skipBlanks drops blanks and comments from the beginning of s. A comment that is not closed goes to the end.
func skipBlanks(s string) string {
	for {
		s = strings.TrimLeft(s, blanks)
		switch {
		case strings.HasPrefix(s, "--"):
			_, s, _ = strings.Cut(s, "\n")
		case strings.HasPrefix(s, "/*"):
			_, s, _ = strings.Cut(s[2:], "*/")
		default:
			return s
		}
	}
}

// cutQuoted reads up to a quote that is not doubled, and returns what follows it.
func cutQuoted(s, quote string) (text, rest string, closed bool) {
	var b strings.Builder
	for {
		part, after, found := strings.Cut(s, quote)
		if !found {
			return "", "", false
		}
		b.WriteString(part)
		if !strings.HasPrefix(after, quote) {
			return b.String(), after, true
		}
		b.WriteString(quote)
		s = after[len(quote):]
	}
}

func syntaxError(message string) *pgwire.Error {
	return &pgwire.Error{Code: "42601", Message: message, Hint: hint()}
}
