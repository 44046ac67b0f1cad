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

// isParameter reports whether the token is a parameter, as $1.
func (t token) isParameter() bool {
	digits, ok := strings.CutPrefix(t.text, "$")
	return ok && !t.quoted && digits != "" && strings.Trim(digits, "0123456789") == ""
}

const blanks = " \t\r\n\f\v"

// part is one statement of a text.
type part struct {
	text   string // as it was written, without what separates it from others
	tokens []token
}

// split splits a text into statements, which semicolons separate, and those into words. Words in single or double quotes may hold
// anything, the quote doubled. Comments are blanks, and statements without a word are left out.
func split(text string) ([]part, error) {
	var parts []part
	var now part
	start := skipBlanks(text)
	end := func(rest string) {
		if len(now.tokens) > 0 {
			now.text = strings.TrimRight(start[:len(start)-len(rest)], blanks)
			parts = append(parts, now)
		}
		now = part{}
	}
	for rest := start; ; {
		rest = skipBlanks(rest)
		if rest == "" {
			end(rest)
			return parts, nil
		}
		switch rest[0] {
		case ';':
			end(rest)
			rest = skipBlanks(rest[1:])
			start = rest
		case '\'', '"':
			text, after, closed := cutQuoted(rest[1:], rest[:1])
			if !closed {
				return nil, syntaxError("a quote is not closed")
			}
			now.tokens, rest = append(now.tokens, token{text, true}), after
		default:
			end := strings.IndexAny(rest, blanks+`;'"`)
			if end < 0 {
				end = len(rest)
			}
			now.tokens, rest = append(now.tokens, token{rest[:end], false}), rest[end:]
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
