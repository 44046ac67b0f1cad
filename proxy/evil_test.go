package proxy

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
)

// evil is what a backend answers to a statement instead of what it should.
type evil struct {
	name   string
	answer []byte
	hangUp bool // the backend closes after it
}

func evilAnswers() []evil {
	row := pgwire.AppendDataRow(nil, [][]byte{[]byte(strings.Repeat("x", 100))})
	description := pgwire.AppendRowDescription(nil, []pgwire.Column{{Name: "c", OID: 25, Size: -1}})
	ready := pgwire.AppendReadyForQuery(nil, 'I')
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []evil{
		{"nothing, and closes", nil, true},
		{"half a header", []byte{'T', 0, 0}, true},
		{"half a frame", description[:8], true},
		{"half a row", join(description, row[:20]), true},
		{"a row, and closes", join(description, row), true},
		{"a whole answer without ReadyForQuery", join(description, row, pgwire.AppendCommandComplete(nil, "SELECT 1")), true},
		{"length 0", pgtest.FalseFrame('D', 0), false},
		{"length 3", pgtest.FalseFrame('Z', 3), false},
		{"length -1", pgtest.FalseFrame('D', 0xffffffff), false},
		{"length 2^31-1", pgtest.FalseFrame('E', 0x7fffffff), true},
		{"length 2^31-1 of a row", pgtest.FalseFrame('D', 0x7fffffff), true},
		{"a gibibyte that does not come", pgtest.FalseFrame('T', 0x3fffffff), true},
		{"ReadyForQuery of no status", pgtest.Frame('Z', nil), false},
		{"ReadyForQuery of an unknown status", pgtest.Frame('Z', []byte{'X'}), false},
		{"CommandComplete without an end", pgtest.Frame('C', []byte("SELECT")), false},
		{"an empty error", join(pgtest.Frame('E', nil), ready), false},
		{"an error without SQLSTATE", join(pgtest.Frame('E', []byte("SERROR\x00Mwhy\x00\x00")), ready), false},
		{"an error without an end", join(pgtest.Frame('E', []byte("SERROR\x00Mwhy")), ready), false},
		{"a fatal error", pgwire.AppendError(nil, &pgwire.Error{Severity: "FATAL", Code: "57P01", Message: "shut down"}), true},
		{"a broken fatal error", pgtest.Frame('E', []byte("SFATAL\x00VFATAL\x00")), true},
		{"ParseComplete to nothing", join(pgwire.AppendParseComplete(nil), pgwire.AppendParseComplete(nil), ready), false},
		{"an unknown message", pgtest.Frame('?', []byte("what")), false},
		{"authentication again", pgwire.AppendAuthenticationOk(nil), false},
		{"a key again", pgwire.AppendBackendKeyData(nil, 1, []byte{1, 2, 3, 4}), false},
		{"CopyBothResponse", pgtest.Frame('W', []byte{0, 0, 0}), false},
		{"CopyInResponse, then nothing", pgtest.Frame('G', []byte{0, 0, 0}), true},
		{"a broken ParameterStatus", join(pgtest.Frame('S', []byte("name")), ready), false},
		{"a broken NotificationResponse", join(pgtest.Frame('A', []byte{1}), pgwire.AppendCommandComplete(nil, "SELECT 0"), ready), false},
		{"two ReadyForQuery", join(pgwire.AppendCommandComplete(nil, "SELECT 0"), ready, ready), false},
		{"an answer to what nobody asked", join(pgwire.AppendCommandComplete(nil, "SELECT 0"), ready, description, row), false},
		{"a tag that is none", join(pgwire.AppendCommandComplete(nil, strings.Repeat("é\x01", 500)), ready), false},
		{"ReadyForQuery in a transaction that nobody began", pgwire.AppendReadyForQuery(pgwire.AppendCommandComplete(nil, "SELECT 0"), 'T'), false},
	}
}

// evilFrames are answers made of frames that are good by themselves: in the wrong order, cut, of the wrong length, or too many.
func evilFrames() []evil {
	simple := pgtest.Result("SELECT 1", []string{"c"}, []string{"good"})
	batch := bytes.Join([][]byte{parseComplete, bindComplete, pgwire.AppendDataRow(nil, [][]byte{[]byte("good")}), pgwire.AppendCommandComplete(nil, "SELECT 1"),
		pgwire.AppendReadyForQuery(nil, 'I')}, nil)
	var list []evil
	for i := range simple {
		list = append(list, evil{fmt.Sprintf("an answer to Query, cut at %d", i), simple[:i], true})
	}
	for i := range batch {
		list = append(list, evil{fmt.Sprintf("an answer to a batch, cut at %d", i), batch[:i], true})
	}
	for typ := range 256 {
		for _, then := range []string{"", "and a good answer"} {
			answer := pgtest.Frame(byte(typ), []byte("\x00\x00\x00\x00"))
			if then != "" {
				answer = append(answer, simple...)
			}
			list = append(list, evil{fmt.Sprintf("type %q %s", byte(typ), then), answer, true})
		}
	}
	for _, typ := range []byte("123ACDEGHINSTVZcdnst") {
		for _, length := range falseLengths {
			list = append(list, evil{fmt.Sprintf("%q of length %#x", typ, length), append(pgtest.FalseFrame(typ, length), simple...), true})
		}
	}
	return append(append(list, outOfOrder(simple, batch)...), floods(simple)...)
}

// outOfOrder are answers whose parts are where they do not belong.
func outOfOrder(simple, batch []byte) []evil {
	var list []evil
	for _, good := range [][]byte{simple, batch} {
		frames := split(good)
		for i := range frames {
			for j := range frames {
				if i == j {
					continue
				}
				swapped := append([][]byte(nil), frames...)
				swapped[i], swapped[j] = frames[j], frames[i]
				list = append(list, evil{fmt.Sprintf("frames %d and %d of %d exchanged", i, j, len(frames)), bytes.Join(swapped, nil), true})
			}
			twice := append(append(append([][]byte(nil), frames[:i]...), frames[i]), frames[i:]...)
			without := append(append([][]byte(nil), frames[:i]...), frames[i+1:]...)
			list = append(list, evil{fmt.Sprintf("frame %d of %d twice", i, len(frames)), bytes.Join(twice, nil), true},
				evil{fmt.Sprintf("frame %d of %d left out", i, len(frames)), bytes.Join(without, nil), true})
		}
	}
	return list
}

func split(b []byte) [][]byte {
	var frames [][]byte
	for len(b) > 0 {
		_, size, err := pgwire.Peek(b, len(b))
		if err != nil || size == 0 {
			panic("a good answer is no frames")
		}
		frames, b = append(frames, b[:size]), b[size:]
	}
	return frames
}

// floods are answers that go on and on, and then are good.
func floods(simple []byte) []evil {
	var settings []byte
	for i := range 50_000 {
		settings = pgwire.AppendParameterStatus(settings, fmt.Sprint("setting", i), strings.Repeat("x", 20))
	}
	same := bytes.Repeat(pgwire.AppendParameterStatus(nil, "TimeZone", "UTC"), 200_000)
	notice := pgwire.AppendNotice(nil, &pgwire.Error{Severity: "NOTICE", Code: "00000", Message: "again"})
	notification := pgtest.Frame('A', []byte("\x00\x00\x00\x01news\x00\x00"))
	empty := append(pgwire.AppendDataRow(nil, nil), pgwire.AppendDataRow(nil, [][]byte{nil})...)
	completed := pgwire.AppendCommandComplete(nil, "SELECT 0")
	var list []evil
	for name, flood := range map[string][]byte{
		"settings": settings, "one setting": same, "notices": bytes.Repeat(notice, 100_000), "notifications": bytes.Repeat(notification, 100_000),
		"empty rows": bytes.Repeat(empty, 100_000), "answers": bytes.Repeat(completed, 100_000),
		"errors": bytes.Repeat(pgwire.AppendError(nil, &pgwire.Error{Code: "XX000", Message: "again"}), 50_000),
	} {
		list = append(list, evil{"a flood of " + name, append(flood, simple...), true})
	}
	return list
}
