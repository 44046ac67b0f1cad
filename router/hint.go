package router

import (
	"fmt"
	"time"
)

// hint is what the first comment of the form /* pgdrover: tenant=42, cache=30s,
// nocache, noreuse, scatter */ says of the whole query string. Its spans are of the
// query's text.
type hint struct {
	span                   // what follows "pgdrover:"; empty: no hint
	tenant   span          // the value; empty: not said
	cacheFor time.Duration // 0: not said
	noCache  bool
	scatter  bool
	alone    bool // scatter=off
	noReuse  bool
	err      *Error
}

// readHint fills what the hint's text says.
func (q *Query) readHint() {
	h := &q.hint
	for at := h.off; at < h.end && h.err == nil; {
		if c := q.text[at]; c == ',' || classes[c] == classSpace {
			at++
			continue
		}
		var key, value span
		key, value, at = q.hintWord(at)
		h.err = q.applyHint(key, value)
	}
}

// hintWord reads key or key=value, and returns where it ends.
func (q *Query) hintWord(at int32) (key, value span, next int32) {
	key.off = at
	for at < q.hint.end && isWordByte(q.text[at]) {
		at++
	}
	key.end = at
	if at == key.off {
		key.end = at + 1
		return key, span{}, at + 1
	}
	if at >= q.hint.end || q.text[at] != '=' {
		return key, span{}, at
	}
	at++
	if at < q.hint.end && (q.text[at] == '\'' || q.text[at] == '"') {
		quote := q.text[at]
		value = span{at + 1, at + 1}
		for value.end < q.hint.end && q.text[value.end] != quote {
			value.end++
		}
		return key, value, value.end + 1
	}
	value = span{at, at}
	for value.end < q.hint.end && q.text[value.end] != ',' && classes[q.text[value.end]] != classSpace {
		value.end++
	}
	return key, value, value.end
}

func (q *Query) applyHint(key, value span) *Error {
	h := &q.hint
	text := q.text[value.off:value.end]
	switch string(q.text[key.off:key.end]) {
	case "tenant":
		if len(text) == 0 {
			return hintError("the hint names no tenant: write tenant=42")
		}
		h.tenant = value
	case "cache":
		d, err := time.ParseDuration(string(text))
		if err != nil || d <= 0 {
			return hintError(fmt.Sprintf("%q in the hint is no time to cache for: write cache=30s", text))
		}
		h.cacheFor = d
	case "nocache":
		h.noCache = true
	case "noreuse":
		h.noReuse = true
	case "scatter":
		h.alone = string(text) == "off"
		h.scatter = !h.alone
	default:
		return hintError(fmt.Sprintf("the hint says %q, which PgDrover does not know", q.text[key.off:key.end]))
	}
	return nil
}

func hintError(message string) *Error {
	return &Error{
		Code: codeInvalid, Message: message,
		Hint: "A hint is a comment such as /* pgdrover: tenant=42, cache=30s */; its words are tenant, cache, nocache, noreuse and scatter.",
	}
}
