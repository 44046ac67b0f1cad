package casefile

import (
	"fmt"
	"strings"
)

// part is a case, or lines between cases that are kept as they are.
type part struct {
	c        *Case
	lines    []string
	expected string // of a case
}

// parse splits a file into parts.
func parse(path, text string) ([]part, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var parts []part
	for at := 0; at < len(lines); {
		if line := strings.TrimSpace(lines[at]); line == "" || strings.HasPrefix(line, "#") {
			parts = append(parts, part{lines: lines[at : at+1]})
			at++
			continue
		}
		c, next, err := parseCase(path, lines, at)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{c: c, expected: c.Expected})
		at = next
	}
	return parts, nil
}

// parseCase reads the case that begins at a line, and returns the line after
// it.
func parseCase(path string, lines []string, at int) (*Case, int, error) {
	c := &Case{File: path, Line: at + 1}
	start := at
	if err := c.command(lines[at]); err != nil {
		return nil, 0, fmt.Errorf("%s:%d: %w", path, at+1, err)
	}
	for at++; at < len(lines) && lines[at] != separator; at++ {
	}
	if at == len(lines) {
		return nil, 0, fmt.Errorf("%s:%d: the case has no line %q", path, c.Line, separator)
	}
	c.Input = strings.Join(lines[start+1:at], "\n")
	c.head = lines[start : at+1]
	at++
	if at < len(lines) && lines[at] == separator {
		return c.fenced(path, lines, at+1)
	}
	for ; at < len(lines) && lines[at] != ""; at++ {
		c.Expected += lines[at] + "\n"
	}
	return c, at, nil
}

// fenced reads output that ends at two separators.
func (c *Case) fenced(path string, lines []string, at int) (*Case, int, error) {
	for ; at < len(lines); at++ {
		if lines[at] == separator && at+1 < len(lines) && lines[at+1] == separator {
			return c, at + 2, nil
		}
		c.Expected += lines[at] + "\n"
	}
	return nil, 0, fmt.Errorf("%s:%d: the output does not end with two lines %q", path, c.Line, separator)
}

// command reads a command line: a word, then key, key=value or key="a value".
func (c *Case) command(line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	c.Command = words[0]
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		c.args = append(c.args, arg{key: key, value: value})
	}
	return nil
}

// split splits a command line at blanks outside of double quotes, which it
// removes.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted, some := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, some = !quoted, true
		case r == ' ' && !quoted:
			if some {
				words = append(words, word.String())
			}
			word.Reset()
			some = false
		default:
			word.WriteRune(r)
			some = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed: %s", line)
	}
	if some {
		words = append(words, word.String())
	}
	return words, nil
}

// format writes the parts of a file with what the cases expect now.
func format(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		lines := p.lines
		if p.c != nil {
			lines = p.c.head
		}
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
		if p.c == nil {
			continue
		}
		if needsFence(p.expected) {
			b.WriteString(separator + "\n" + p.expected + separator + "\n" + separator + "\n")
		} else {
			b.WriteString(p.expected)
		}
	}
	return b.String()
}

// needsFence reports output that would be read as something else.
func needsFence(out string) bool {
	return strings.HasPrefix(out, "\n") || strings.Contains(out, "\n\n") || strings.HasPrefix(out, separator+"\n")
}
