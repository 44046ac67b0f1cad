package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// gidPrefix begins the identifiers of the transactions that PgDrover prepares. Clients may not use it.
const gidPrefix = "pgdrover:"

// joint names one transaction that has written on several shards, and is committed on all of them or on none.
type joint struct {
	id     string // in 24 hexadecimal digits: a hash of secret
	secret string // whoever knows it may decide that the transaction is committed; the gids do not show it
	proxy  string // the proxy that commits it: a name that no other process has
	xid    string // of the first writer's part, in decimal
	first  string // the first writer's shard
}

// newJoint names a transaction as no other was or will be named.
func newJoint(proxy, first string) *joint {
	secret := randomHex(16)
	return &joint{id: hashHex(secret, jointDigits), secret: secret, proxy: proxy, first: first}
}

// jointDigits are the digits of an id. pgdrover.decide cuts the hash there, too.
const jointDigits = 24

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func hashHex(text string, digits int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}

// gid is the identifier of the part of the transaction on a shard. It has less than 200 bytes, as PostgreSQL wants it: at most
// 9 + 9 + 25 + 21 + 33 + 33 + 64.
func (j *joint) gid(shard, database string) string {
	return gidPrefix + strings.Join([]string{j.proxy, j.id, j.xid, tag(j.first, 32), tag(shard, 32), tag(database, 64)}, ":")
}

// tag is a name as it stands in a gid: a long one is cut, and told from others by a hash.
func tag(name string, most int) string {
	if len(name) <= most {
		return name
	}
	return name[:most-13] + "~" + hashHex(name, 12)
}

// jointPart is what a gid says.
type jointPart struct {
	joint                  // without the secret; first is a tag
	shard, database string // tags
}

// readGID takes a gid apart. ok says that it is one of PgDrover's.
func readGID(gid string) (p jointPart, ok bool) {
	rest, ok := strings.CutPrefix(gid, gidPrefix)
	fields := strings.SplitN(rest, ":", 6)
	if !ok || len(fields) != 6 || len(fields[1]) != jointDigits || !decimal(fields[2]) {
		return jointPart{}, false
	}
	return jointPart{joint{proxy: fields[0], id: fields[1], xid: fields[2], first: fields[3]}, fields[4], fields[5]}, true
}

func decimal(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
