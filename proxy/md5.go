package proxy

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/pgdrover/pgdrover/pgwire"
)

// MD5Verifier is the md5 verifier of a password, without PostgreSQL's prefix "md5": 32 hexadecimal digits (manual, "pg_authid").
func MD5Verifier(user, password string) string { return md5Text(password + user) }

// ParseMD5 reads an md5 verifier as PostgreSQL stores it and returns its 32 digits.
func ParseMD5(s string) (string, error) {
	digits, ok := strings.CutPrefix(s, "md5")
	if raw, err := hex.DecodeString(digits); !ok || err != nil || len(raw) != md5.Size || strings.ToLower(digits) != digits {
		return "", errors.New("not an md5 verifier: that is md5 and 32 hexadecimal digits, as in pg_authid.rolpassword")
	}
	return digits, nil
}

func md5Text(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// byMD5 logs the client in by PostgreSQL's old challenge if the user has an md5 verifier, and by SCRAM otherwise, as PostgreSQL's
// method md5 does.
func (s *session) byMD5(user *User, until time.Time) *pgwire.Error {
	if user == nil || user.MD5 == "" {
		return s.bySCRAM(user, until)
	}
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	s.client.SetQueue(pgwire.AppendAuthenticationMD5(s.client.QueueBuffer(), salt))
	answer, e := s.password(until)
	if e != nil {
		return e
	}
	want := "md5" + md5Text(user.MD5+string(salt[:]))
	if subtle.ConstantTimeCompare([]byte(answer), []byte(want)) != 1 {
		return s.wrongPassword()
	}
	return nil
}
