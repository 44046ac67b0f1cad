package pgwire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// greetingWith is what a server says during a login whose SCRAM challenge is given, and a row that looks like a challenge after it.
func greetingWith(challenge string) []byte {
	b := AppendAuthenticationSASL(nil, []string{"SCRAM-SHA-256"})
	b = AppendAuthenticationSASLContinue(b, []byte(challenge))
	b = AppendAuthenticationOk(AppendAuthenticationSASLFinal(b, []byte("v=x,i=9999999")))
	b = AppendReadyForQuery(AppendParameterStatus(b, "i", ",i=9999999"), StatusIdle)
	return AppendAuthenticationSASLContinue(b, []byte("r=a,s=b,i=9999999"))
}

func TestIterationsAreBounded(t *testing.T) {
	for challenge, good := range map[string]bool{
		"r=a,s=b,i=4096": true, "r=a,s=b,i=1000000": true, "r=a,s=b": true, "": true, "r=a,s=b,i=1000000,x=1": true,
		"r=a,s=b,i=1000001": false, "r=a,s=b,i=10000000": false, "r=a,s=b,i=99999999999999999999999": false, "i=1000001": false, "r=a,s=b,i=-1": false,
	} {
		said := greetingWith(challenge)
		for name, r := range map[string]io.Reader{"at once": bytes.NewReader(said), "in bytes": iotest.OneByteReader(bytes.NewReader(said))} {
			got, err := io.ReadAll(&loginReader{r: r})
			if (err == nil) != good || good && !bytes.Equal(got, said) {
				t.Errorf("%q %s: %d of %d bytes, %v", challenge, name, len(got), len(said), err)
			}
		}
	}
	if _, err := io.ReadAll(&loginReader{r: bytes.NewReader(AppendAuthenticationSASLContinue(nil, make([]byte, maxChallenge)))}); !errors.Is(err, errAuthentication) {
		t.Errorf("a long message: %v", err)
	}
	whole := &loginReader{r: strings.NewReader(string(slices.Concat(greetingWith("i=1"), []byte("x"))))}
	if _, err := io.ReadAll(whole); err != nil || cap(whole.frame) > maxChallenge {
		t.Errorf("%v, %d bytes are kept", err, cap(whole.frame))
	}
}

// FuzzLoginReader has a server say anything in pieces of any size: nothing is changed, and no challenge with too many iterations comes
// through whole.
func FuzzLoginReader(f *testing.F) {
	f.Add(greetingWith("r=a,s=b,i=4096"), uint8(3))
	f.Add(greetingWith("r=a,s=b,i=1000001"), uint8(1))
	f.Add([]byte{MsgAuthentication, 0xff, 0xff, 0xff, 0xff, 1}, uint8(2))
	f.Add([]byte{MsgAuthentication, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6}, uint8(7))
	f.Fuzz(func(t *testing.T, said []byte, piece uint8) {
		l := &loginReader{r: &pieces{said, int(piece) + 1}}
		got, err := io.ReadAll(l)
		if !bytes.HasPrefix(said, got) || err == nil && len(got) != len(said) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(said), err)
		}
		whole := &loginReader{r: bytes.NewReader(said)}
		if _, atOnce := io.ReadAll(whole); (atOnce == nil) != (err == nil) {
			t.Fatalf("in pieces %v, at once %v", err, atOnce)
		}
		if len(l.frame) > maxChallenge+HeaderLen+1 {
			t.Fatalf("%d bytes are kept", len(l.frame))
		}
	})
}

// pieces reads a number of bytes at a time.
type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
