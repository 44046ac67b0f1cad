package pgtest

import (
	"errors"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"

	"github.com/pgdrover/pgdrover/pgwire"
)

// scramAuth is a server's side of SCRAM by another implementation. If it lies,
// it proves itself by a signature that it made up.
func scramAuth(password string, lies bool) func(c *Conn) error {
	return func(c *Conn) error {
		client, err := xdg.SHA256.NewClient("", password, "")
		if err != nil {
			return err
		}
		stored, err := client.GetStoredCredentialsWithError(xdg.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
		if err != nil {
			return err
		}
		server, err := xdg.SHA256.NewServer(func(string) (xdg.StoredCredentials, error) { return stored, nil })
		if err != nil {
			return err
		}
		conversation := server.NewConversation()
		if err := c.Write(pgwire.AppendAuthenticationSASL(nil, []string{"SCRAM-SHA-256"})); err != nil {
			return err
		}
		frame, err := c.Read()
		if err != nil {
			return err
		}
		_, response, err := pgwire.SASLInitialResponse(frame)
		if err != nil {
			return err
		}
		challenge, err := conversation.Step(string(response))
		if err != nil {
			return err
		}
		if err := c.Write(pgwire.AppendAuthenticationSASLContinue(nil, []byte(challenge))); err != nil {
			return err
		}
		if frame, err = c.Read(); err != nil {
			return err
		}
		if response, err = pgwire.SASLResponse(frame); err != nil {
			return err
		}
		outcome, err := conversation.Step(string(response))
		if err != nil {
			return errors.Join(ErrHangUp, c.Write(pgwire.AppendError(nil, &pgwire.Error{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"})))
		}
		if lies {
			outcome = "v=" + strings.Repeat("A", 43) + "="
		}
		return c.Write(pgwire.AppendAuthenticationSASLFinal(nil, []byte(outcome)))
	}
}

func TestSCRAM(t *testing.T) {
	s := Serve(t, Script{Handle: answerQueries, Auth: scramAuth("pencil, with = signs", false)})
	if _, err := Connect(t, s.Addr, Options{User: "app", Password: "pencil, with = signs"}).Query("SELECT 1"); err != nil {
		t.Error(err)
	}
	_, err := Dial(s.Addr, Options{User: "app", Password: "crayon"})
	var refusal *pgwire.Error
	if !errors.As(err, &refusal) || refusal.Code != "28P01" {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestSCRAMServerMustKnowThePassword(t *testing.T) {
	s := Serve(t, Script{Handle: answerQueries, Auth: scramAuth("pencil", true)})
	_, err := Dial(s.Addr, Options{User: "app", Password: "pencil"})
	if err == nil || !strings.Contains(err.Error(), "does not know the password") {
		t.Errorf("got %v", err)
	}
}

func TestCleartext(t *testing.T) {
	passwords := make(chan string, 1)
	s := Serve(t, Script{Handle: answerQueries, Auth: func(c *Conn) error {
		if err := c.Write(pgwire.AppendAuthenticationCleartext(nil)); err != nil {
			return err
		}
		frame, err := c.Read()
		if err != nil {
			return err
		}
		password, err := pgwire.PasswordMessage(frame)
		passwords <- password
		return err
	}})
	Connect(t, s.Addr, Options{User: "app", Password: "pencil"})
	if got := <-passwords; got != "pencil" {
		t.Errorf("the server got %q", got)
	}
}
