package shardmap

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxName is the length of the longest name in a PostgreSQL catalog, in bytes.
const maxName = 63

// nameProblem says what is wrong with a name of PostgreSQL; "" for nothing.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case len(name) > maxName:
		return fmt.Sprintf("the name is longer than %d bytes, and PostgreSQL would cut it", maxName)
	case strings.ContainsRune(name, 0):
		return "a name cannot hold a zero byte"
	}
	return ""
}

// shardNameProblem says what is wrong with a shard's name; "" for nothing.
// Names stand in the lock, in metrics and on the ring.
func shardNameProblem(name string) string {
	const rule = "is no name for a shard: letters, digits, - _ and ., at most 63, the first a letter or digit"
	if name == "" || len(name) > maxName {
		return fmt.Sprintf("%q %s", name, rule)
	}
	for i, c := range []byte(name) {
		if !isAlphanumeric(c) && (i == 0 || c != '-' && c != '_' && c != '.') {
			return fmt.Sprintf("%q %s", name, rule)
		}
	}
	return ""
}

// isAlphanumeric reports whether c is an ASCII letter or digit.
func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// hostProblem says what is wrong with a host; "" for nothing.
func hostProblem(host string) string {
	if strings.HasPrefix(host, "/") {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	name, port, colon := strings.Cut(host, ":")
	switch {
	case colon && isDigits(port) && port != "":
		return fmt.Sprintf("the port does not belong to the host: write host: %s, port: %s", name, port)
	case strings.ContainsAny(host, "[]"):
		return fmt.Sprintf("%q is no host: write an IPv6 address without brackets", host)
	case isDigits(strings.ReplaceAll(host, ".", "")):
		return fmt.Sprintf("%q is no IP address: it takes four numbers from 0 to 255", host)
	case len(host) > 253:
		return "the host's name is longer than 253 bytes"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if !isHostLabel(label) {
			return fmt.Sprintf("%q is no host: write a name, an IP address or the directory of a socket", host)
		}
	}
	return ""
}

// isDigits reports whether s has nothing but digits.
func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// isHostLabel reports whether s may stand between the dots of a host's name.
// Underscores are in use where containers get names.
func isHostLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// parseTableName reads table or schema.table as SQL does.
func parseTableName(text string) (schema, name string, err error) {
	parts, err := parseNames(text)
	switch {
	case err != nil:
		return "", "", err
	case len(parts) > 2:
		return "", "", fmt.Errorf("%q has too many parts: write table or schema.table", text)
	case len(parts) == 2:
		return parts[0], parts[1], nil
	}
	return "", parts[0], nil
}

// parseName reads a single name as SQL does.
func parseName(text string) (string, error) {
	parts, err := parseNames(text)
	if err == nil && len(parts) > 1 {
		err = fmt.Errorf("%q has a dot: write a plain name, in double quotes if the dot is part of it", text)
	}
	if err != nil {
		return "", err
	}
	return parts[0], nil
}

// parseNames reads names joined by dots: unquoted ones are folded to lower
// case, a quoted one is taken as it is.
func parseNames(text string) ([]string, error) {
	var parts []string
	for rest := text; ; {
		part, after, err := cutName(rest)
		if err == nil {
			if problem := nameProblem(part); problem != "" {
				err = errors.New(problem)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		parts = append(parts, part)
		if after == "" {
			return parts, nil
		}
		if after[0] != '.' {
			return nil, fmt.Errorf("%q is no name of SQL: put it in double quotes (inside single ones for YAML)", text)
		}
		rest = after[1:]
	}
}

// cutName reads one name and returns what follows it.
func cutName(s string) (name, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		n := 0
		for n < len(s) && isNameByte(s[n], n) {
			n++
		}
		return foldName(s[:n]), s[n:], nil
	}
	var b strings.Builder
	for s = s[1:]; ; {
		part, after, closed := strings.Cut(s, `"`)
		if !closed {
			return "", "", errors.New("a double quote is not closed")
		}
		b.WriteString(part)
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, nil
		}
		b.WriteByte('"')
		s = after[1:]
	}
}

// isNameByte reports whether c may stand at index i of an unquoted name.
func isNameByte(c byte, i int) bool {
	digit := c >= '0' && c <= '9' || c == '$'
	return c == '_' || c >= 0x80 || isAlphanumeric(c) && !digit || digit && i > 0
}

// foldName lowers ASCII letters, as PostgreSQL does in a UTF8 database.
func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// quoteName writes a name so that SQL reads it back.
func quoteName(name string) string {
	if folded, rest, err := cutName(name); err == nil && rest == "" && folded == name && name != "" {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
