package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Messages that tests send by hand.
var (
	flushMessage = &pgproto3.Flush{}
	syncMessage  = &pgproto3.Sync{}
	executeAll   = &pgproto3.Execute{}
)

func parseOf(sql string) *pgproto3.Parse { return &pgproto3.Parse{Query: sql} }

func describeStatementOf(name string) *pgproto3.Describe {
	return &pgproto3.Describe{ObjectType: 'S', Name: name}
}

func bindOf(params ...string) *pgproto3.Bind {
	b := &pgproto3.Bind{}
	for _, p := range params {
		b.Parameters = append(b.Parameters, []byte(p))
	}
	return b
}

// expect reads messages of these types, but for what comes at any time.
func expect(t *testing.T, f *pgproto3.Frontend, types ...string) {
	t.Helper()
	for _, want := range types {
		for {
			m, err := f.Receive()
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			got := strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
			if got == "ParameterStatus" || got == "NoticeResponse" {
				continue
			}
			if got != want {
				t.Fatalf("got %s %+v, want %s", got, m, want)
			}
			break
		}
	}
}

var describePortal = &pgproto3.Describe{ObjectType: 'P'}
