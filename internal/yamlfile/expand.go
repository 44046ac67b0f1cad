package yamlfile

import (
	"fmt"
	"strings"
)

// expand replaces ${NAME} and ${NAME:-default} in a text, and $${ by ${. An
// error never quotes the text, which may be a secret.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		out.WriteString(text[:i])
		inner, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return "", fmt.Errorf("${ without }: close it, or write $${ for a plain ${")
		}
		value, err := variable(inner, lookup)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest
	}
}

// variable returns what stands for the inside of ${…}.
func variable(inner string, lookup func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	if !isVariable(name) {
		return "", fmt.Errorf("${…} does not hold a variable's name: write ${NAME} or ${NAME:-default}, or $${ for a plain ${")
	}
	var value string
	var set bool
	if lookup != nil {
		value, set = lookup(name)
	}
	switch {
	case hasFallback && (!set || value == ""):
		return fallback, nil
	case !set:
		return "", fmt.Errorf("variable %s is not set: set it, or write ${%s:-default}", name, name)
	}
	return value, nil
}

// isVariable reports whether s is a name that a shell would take.
func isVariable(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
