package proxy

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// exchange is one SCRAM exchange from the server's side (RFC 5802, sections 3 and 5). The user name within it does not count: the startup
// packet's does (manual, "SASL Authentication"). It does no I/O.
type exchange struct {
	of      *Verifier
	offered bool   // the client was offered channel binding
	bound   bool   // and chose it
	channel []byte // to which it is bound then
	header  string // the client's view of channel binding, which its last message repeats, with the channel if it is bound
	nonce   []byte // the client's and the server's
	signed  []byte // room for a block of the hash, and the messages that both sides sign; nil before the first
	proven  bool
	key     [sha256.Size]byte // the client's, if it is proven
}

// nonceLen is how many random bytes the server's part of a nonce has, as in PostgreSQL.
const nonceLen = 18

// newExchange begins an exchange about v with a client that chose a mechanism out of those offered for binding.
func newExchange(v *Verifier, mechanism string, binding []byte) (*exchange, *pgwire.Error) {
	if !slices.Contains(mechanisms(binding), mechanism) {
		return nil, protocolViolation("client selected an invalid SASL authentication mechanism", "")
	}
	x := &exchange{of: v, offered: binding != nil, bound: mechanism == scramPlus}
	if x.bound {
		x.channel = binding
	}
	return x, nil
}

// opening is a client's first message, in parts.
type opening struct {
	flag, identity string // the header: its view of channel binding, and whom to act for
	bare           string // what comes behind the header
	name, nonce    string // its first attributes
}

func splitOpening(message string) (o opening, ok bool) {
	var some, more, most bool
	o.flag, o.bare, some = strings.Cut(message, ",")
	o.identity, o.bare, more = strings.Cut(o.bare, ",")
	o.name, o.nonce, most = strings.Cut(o.bare, ",")
	o.nonce, _, _ = strings.Cut(o.nonce, ",") // extensions that need not be understood may follow
	return o, some && more && most
}

// first answers the client's first message. The answer is valid until the last.
func (x *exchange) first(message []byte) ([]byte, *pgwire.Error) {
	text := string(message)
	o, ok := splitOpening(text)
	switch {
	case strings.IndexByte(text, 0) >= 0:
		return nil, errZero
	case !ok:
		return nil, malformed("The first message has too few attributes.")
	}
	if e := x.checkOpening(&o); e != nil {
		return nil, e
	}
	nonce, hasNonce := strings.CutPrefix(o.nonce, "r=")
	if !hasNonce || !strings.HasPrefix(o.name, "n=") {
		return nil, malformed("The first message cannot be understood.")
	}
	x.header = text[:len(text)-len(o.bare)]
	x.signed = make([]byte, sha256.BlockSize, sha256.BlockSize+3*len(text)+256)
	x.signed = append(append(x.signed, o.bare...), ',')
	at := len(x.signed)
	var own [nonceLen]byte
	_, _ = rand.Read(own[:]) // never fails (crypto/rand)
	x.signed = append(append(x.signed, "r="...), nonce...)
	x.signed = base64.StdEncoding.AppendEncode(x.signed, own[:])
	x.nonce = x.signed[at+len("r="):]
	x.signed = base64.StdEncoding.AppendEncode(append(x.signed, ",s="...), []byte(x.of.stored.Salt))
	x.signed = strconv.AppendInt(append(x.signed, ",i="...), int64(x.of.stored.Iters), 10)
	return x.signed[at:], nil
}

// checkOpening looks at what PostgreSQL has errors of its own for: the header with the client's view of channel binding (RFC 5802,
// section 7), an identity to act for, extensions, and the nonce.
func (x *exchange) checkOpening(o *opening) *pgwire.Error {
	kind, typed := strings.CutPrefix(o.flag, "p=")
	plain := o.flag == "n" || o.flag == "y"
	switch {
	case typed && !x.bound:
		return malformed("The client selected " + scramMechanism + " without channel binding, but the SCRAM message includes channel binding data.")
	case typed && kind != channelType:
		return protocolViolation("unsupported SCRAM channel-binding type \""+printable(kind)+"\"", "")
	case plain && x.bound:
		return malformed("The client selected " + scramPlus + ", but the SCRAM message does not include channel binding data.")
	case o.flag == "y" && x.offered:
		return &pgwire.Error{Code: "28000", Message: "SCRAM channel binding negotiation error",
			Detail: "The client supports SCRAM channel binding but thinks the server does not. However, this server does support channel binding."}
	case strings.HasPrefix(o.identity, "a"):
		return &pgwire.Error{Code: "0A000", Message: "client uses authorization identity, but it is not supported"}
	case strings.HasPrefix(o.name, "m="):
		return &pgwire.Error{Code: "0A000", Message: "client requires an unsupported SCRAM extension"}
	case printable(o.nonce) != o.nonce:
		return protocolViolation("non-printable characters in SCRAM nonce", "")
	case !typed && !plain || o.identity != "":
		return malformed("The first message cannot be understood.")
	}
	return nil
}

// final answers the client's last message, and reports whether the client proved that it knows the password. An error is about
// the form of the message.
func (x *exchange) final(message []byte) (answer []byte, proven bool, e *pgwire.Error) {
	end := max(0, bytes.LastIndexByte(message, ','))
	text := message[:end] // all but the proof, which signs it
	channel, rest, _ := bytes.Cut(text, []byte(","))
	nonce, _, _ := bytes.Cut(rest, []byte(","))
	channel, ok1 := attribute(channel, 'c')
	nonce, ok2 := bytes.CutPrefix(nonce, []byte("r="))
	proof, ok3 := attribute(bytes.TrimPrefix(message[end:], []byte(",")), 'p')
	switch {
	case bytes.IndexByte(message, 0) >= 0:
		return nil, false, errZero
	case !ok1 || !ok2 || x.signed == nil:
		return nil, false, malformed("The last message cannot be understood.")
	case !x.names(channel) && x.bound:
		return nil, false, &pgwire.Error{Code: "28000", Message: "SCRAM channel binding check failed"}
	case !x.names(channel):
		return nil, false, protocolViolation("unexpected SCRAM channel-binding attribute in client-final-message", "")
	case !ok3 || len(proof) != sha256.Size:
		return nil, false, malformed("Malformed proof in client-final-message.")
	case !bytes.Equal(nonce, x.nonce):
		return nil, false, protocolViolation("invalid SCRAM response", "Nonce does not match.")
	}
	x.signed = append(append(x.signed, ','), text...)
	stored := &x.of.stored
	signature := mac(stored.StoredKey, x.signed)
	subtle.XORBytes(x.key[:], proof, signature[:])
	sum := sha256.Sum256(x.key[:])
	if subtle.ConstantTimeCompare(sum[:], stored.StoredKey) != 1 {
		return nil, false, nil
	}
	x.proven = true
	signature = mac(stored.ServerKey, x.signed)
	answer = append(make([]byte, 0, len("v=")+base64.StdEncoding.EncodedLen(sha256.Size)), "v="...)
	return base64.StdEncoding.AppendEncode(answer, signature[:]), true, nil
}

// errZero is what PostgreSQL says of a message with a byte 0 in it.
var errZero = malformed("Message length does not match input length.")

// attribute is what stands in base64 behind a letter and "=".
func attribute(text []byte, letter byte) (value []byte, ok bool) {
	if len(text) < 2 || text[0] != letter || text[1] != '=' {
		return nil, false
	}
	if bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, '\n') >= 0 { // Go's base64 skips line ends
		return nil, false
	}
	value, err := base64.StdEncoding.AppendDecode(nil, text[2:])
	return value, err == nil
}

// names reports whether the client's last message has the header of its first, and the channel if it is bound to that.
func (x *exchange) names(channel []byte) bool {
	rest, ok := bytes.CutPrefix(channel, []byte(x.header))
	return ok && bytes.Equal(rest, x.channel)
}

// keys are those that a client made of its password, of which its last message was the proof (RFC 5802, section 3: the proof is the
// ClientKey, hidden by a signature that whoever keeps the verifier can make too). They are nil if there was no proof.
func (x *exchange) keys() *pool.Keys {
	if !x.proven {
		return nil
	}
	stored := &x.of.stored
	return &pool.Keys{Salt: stored.Salt, Iterations: stored.Iters, Server: [sha256.Size]byte(stored.ServerKey), Client: x.key}
}

// mac is HMAC-SHA-256 (RFC 2104) by a key of the hash's length. The message stands behind a block of the hash that mac overwrites, so that a login
// takes no memory for it.
func mac(key, message []byte) [sha256.Size]byte {
	var outer [sha256.BlockSize + sha256.Size]byte
	pad(message[:sha256.BlockSize], key, 0x3636363636363636)
	pad(outer[:sha256.BlockSize], key, 0x5c5c5c5c5c5c5c5c)
	inner := sha256.Sum256(message)
	copy(outer[sha256.BlockSize:], inner[:])
	return sha256.Sum256(outer[:])
}

// pad fills a block of the hash with a key of the hash's length and zeros, mixed with eight bytes that are all the same.
func pad(block, key []byte, with uint64) {
	for i := 0; i < sha256.Size; i += 8 {
		binary.NativeEndian.PutUint64(block[i:], binary.NativeEndian.Uint64(key[i:])^with)
	}
	for i := sha256.Size; i < sha256.BlockSize; i += 8 {
		binary.NativeEndian.PutUint64(block[i:], with)
	}
}
