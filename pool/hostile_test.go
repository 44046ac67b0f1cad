package pool

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/pgtest"
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/shardmap"
)

// unreported keeps a scripted server from failing the test for what it makes of the bytes of a client that gives up.
type unreported struct{ testing.TB }

func (unreported) Errorf(string, ...any) {}

// TestHostileSCRAM logs in to nodes that ask for more than any server does: the login fails, soon, and says why.
//
// Row 31: iteration counts and salts of a server that means harm.
func TestHostileSCRAM(t *testing.T) {
	for name, challenge := range map[string]string{
		"a huge iteration count":     "s=c2FsdA==,i=2147483647",
		"an iteration count too far": "s=c2FsdA==,i=99999999999999999999",
		"no iterations":              "s=c2FsdA==,i=0",
		"a negative count":           "s=c2FsdA==,i=-4096",
		"a count that is none":       "s=c2FsdA==,i=many",
		"no salt":                    "s=,i=4096",
		"a salt that is none":        "s=*,i=4096",
		"an endless salt":            "s=" + strings.Repeat("QUFB", 4<<20) + ",i=2147483647",
		"nothing":                    "",
	} {
		t.Run(name, func(t *testing.T) {
			node := pgtest.Serve(unreported{t}, pgtest.Script{
				Auth: func(c *pgtest.Conn) error {
					if err := c.Write(pgwire.AppendAuthenticationSASL(nil, []string{"SCRAM-SHA-256"})); err != nil {
						return err
					}
					frame, err := c.Read()
					if err != nil {
						return err
					}
					_, nonce, _ := strings.Cut(string(frame), ",r=")
					if err := c.Write(pgwire.AppendAuthenticationSASLContinue(nil, fmt.Appendf(nil, "r=%sX,%s", nonce, challenge))); err != nil {
						return err
					}
					_, _ = c.Read()
					return pgtest.ErrHangUp
				},
				Handle: func(*pgtest.Conn, []byte) error { return nil },
			})
			host, port, _ := net.SplitHostPort(node.Addr)
			n, _ := strconv.Atoi(port)
			_, c, _ := single(t, quick())
			began := time.Now()
			if _, err := c.ExecOn(t.Context(), "s1", Primary, shardmap.Node{Host: host, Port: n}, "select 1"); err == nil {
				t.Error("it logged in")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
