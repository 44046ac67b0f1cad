package pgwire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden cases of testdata/wire with what the code answers")

// TestGolden reads testdata/wire/*.txt. A case is a comment, a direction
// (startup, client, server) with an optional limit in bytes, the bytes of the
// stream in hex (a part in double quotes stands for its own bytes), a line
// "----", and one line for each packet or frame of the stream. A difference is
// either a bug, or to be accepted by -rewrite and reading the diff.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/wire/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, cases, err := answers(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if cases == 0 {
				t.Fatal("the file has no cases")
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("answers differ (go test ./pgwire -run Golden -rewrite accepts them):\n%s", firstDifference(string(text), got))
			}
		})
	}
}

// answers is the text of a golden file with the answers the code gives now.
func answers(text string) (got string, cases int, err error) {
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(text))
	line := 0
	var direction string
	var input []byte
	for lines.Scan() {
		line++
		s := lines.Text()
		out.WriteString(s + "\n")
		switch {
		case s == "" || strings.HasPrefix(s, "#"):
		case direction == "":
			direction, input = s, nil
		case s != "----":
			b, err := parseBytes(s)
			if err != nil {
				return "", 0, fmt.Errorf("line %d: %w", line, err)
			}
			input = append(input, b...)
		default:
			answer, err := traceStream(direction, input)
			if err != nil {
				return "", 0, fmt.Errorf("line %d: %w", line, err)
			}
			out.WriteString(answer + "\n")
			cases++
			direction = ""
			for lines.Scan() && lines.Text() != "" {
				line++
			}
			line++
		}
	}
	if direction != "" {
		return "", 0, errors.New("the last case has no ---- line")
	}
	return strings.TrimSuffix(out.String(), "\n"), cases, lines.Err()
}

func parseBytes(s string) ([]byte, error) {
	var b []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			b = append(b, part...)
			continue
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			return nil, err
		}
		b = append(b, raw...)
	}
	return b, nil
}

// traceStream cuts a stream into frames, or takes it as one first packet.
func traceStream(direction string, b []byte) (string, error) {
	var who string
	limit := 1 << 20
	if _, err := fmt.Sscanf(direction, "%s %d", &who, &limit); err != nil && who == "" {
		return "", err
	}
	switch who {
	case "startup":
		return traceFirst(b), nil
	case "client", "server":
	default:
		return "", fmt.Errorf("unknown direction %q", who)
	}
	var out bytes.Buffer
	for len(b) > 0 {
		_, size, err := Peek(b, limit)
		if err != nil {
			fmt.Fprintf(&out, "error: %v\n", err)
			return out.String(), nil
		}
		if size == 0 || size > len(b) {
			fmt.Fprintf(&out, "incomplete: %d of %d bytes\n", len(b), size)
			return out.String(), nil
		}
		out.Write(Trace(nil, who == "client", b[:size]))
		if reason := refusal(who, b[:size]); reason != nil {
			fmt.Fprintf(&out, "\n  refused: %v", reason)
		}
		out.WriteByte('\n')
		b = b[size:]
	}
	return out.String(), nil
}

// refusal is the error of the look-in that belongs to the frame's type.
func refusal(who string, frame []byte) (err error) {
	switch {
	case who == "client" && frame[0] == MsgQuery:
		_, err = QueryText(frame)
	case who == "client" && frame[0] == MsgParse:
		err = DecodeParse(frame, new(Parse))
	case who == "client" && frame[0] == MsgBind:
		err = DecodeBind(frame, new(Bind))
	case who == "client" && frame[0] == MsgDescribe:
		_, _, err = DecodeDescribe(frame)
	case who == "client" && frame[0] == MsgClose:
		_, _, err = DecodeClose(frame)
	case who == "client" && frame[0] == MsgExecute:
		_, _, err = DecodeExecute(frame)
	case who == "server" && frame[0] == MsgReadyForQuery:
		_, err = ReadyStatus(frame)
	case who == "server" && frame[0] == MsgParameterStatus:
		_, _, err = ParameterStatus(frame)
	case who == "server" && frame[0] == MsgCommandComplete:
		_, err = CommandTag(frame)
	case who == "server" && frame[0] == MsgBackendKeyData:
		_, _, err = BackendKeyData(frame)
	case who == "server" && frame[0] == MsgNotification:
		_, _, _, err = Notification(frame)
	case who == "server" && (frame[0] == MsgErrorResponse || frame[0] == MsgNoticeResponse):
		_, err = DecodeError(frame)
	}
	return err
}

func traceFirst(b []byte) string {
	if DirectTLS(b) {
		return "direct TLS\n"
	}
	size, err := PeekStartup(b)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	if size == 0 || size > len(b) {
		return fmt.Sprintf("incomplete: %d of %d bytes\n", len(b), size)
	}
	out := string(TraceStartup(nil, b[:size])) + "\n"
	s, err := ParseStartup(b[:size])
	if err != nil || s.Kind != KindStartup {
		return out
	}
	if minor, must := s.Negotiate(); must {
		out += string(Trace(nil, false, AppendNegotiateProtocolVersion(nil, minor, s.Options))) + "\n"
	}
	return out
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\n  file: %s\n  code: %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("file has %d lines, code %d", len(w), len(g))
}
