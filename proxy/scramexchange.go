package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
)

// exchange is one SCRAM exchange from the server's side (RFC 5802, sections 3 and 5). The user name within it does not count: the startup
// packet's does (manual, "SASL Authentication"). It does no I/O. The zero exchange is ready for begin, and its memory for the next one after end.
type exchange struct {
	of      *Verifier
	chance  *chance
	offered bool   // the client was offered channel binding
	bound   bool   // and chose it
	channel []byte // to which it is bound then
	signed  []byte // room for a block of the hash, and the messages that both sides sign
	expects []byte // what the client's last message begins with, at the end of signed; nil before the first message
	proven  bool
	key     [sha256.Size]byte // the client's, if it is proven

	room struct {
		signed   [768]byte
		answer   [len("v=") + 44]byte
		stranger Verifier // of a user that does not exist
	}
}

// nonceLen is how many random bytes the server's part of a nonce has, as in PostgreSQL.
const nonceLen = 18

// begin begins an exchange about v with a client that chose a mechanism out of those offered for binding. The nonce is c's.
func (x *exchange) begin(v *Verifier, mechanism, binding []byte, c *chance) *pgwire.Error {
	x.of, x.chance, x.offered = v, c, binding != nil
	switch {
	case string(mechanism) == scramMechanism:
	case string(mechanism) == scramPlus && x.offered:
		x.bound, x.channel = true, binding
	default:
		return protocolViolation("client selected an invalid SASL authentication mechanism", "")
	}
	return nil
}

// end forgets the exchange, and what was secret in it.
func (x *exchange) end() { *x = exchange{} }

// opening is a client's first message, in parts.
type opening struct {
	flag, identity []byte // the header: its view of channel binding, and whom to act for
	bare           []byte // what comes behind the header
	name, nonce    []byte // its first attributes
}

func splitOpening(message []byte) (o opening, ok bool) {
	var some, more, most bool
	o.flag, o.bare, some = bytes.Cut(message, comma)
	o.identity, o.bare, more = bytes.Cut(o.bare, comma)
	o.name, o.nonce, most = bytes.Cut(o.bare, comma)
	o.nonce, _, _ = bytes.Cut(o.nonce, comma) // extensions that need not be understood may follow
	return o, some && more && most
}

var comma = []byte{','}

// first answers the client's first message. The answer is valid until the end.
func (x *exchange) first(message []byte) ([]byte, *pgwire.Error) {
	o, ok := splitOpening(message)
	nonce, hasNonce := bytes.CutPrefix(o.nonce, []byte("r="))
	if !ok || !hasNonce || len(o.identity) > 0 || !bytes.HasPrefix(o.name, []byte("n=")) || !x.agrees(o.flag) || !isPrintable(nonce) ||
		bytes.IndexByte(message, 0) >= 0 {
		return nil, x.openingFault(message, &o, ok)
	}
	var own [nonceLen]byte
	x.chance.read(own[:])
	b := append(append(x.room.signed[:sha256.BlockSize], o.bare...), ",r="...)
	at := len(b) - len("r=")
	b = base64.StdEncoding.AppendEncode(append(b, nonce...), own[:])
	given := b[at:]
	b = base64.StdEncoding.AppendEncode(append(b, ",s="...), []byte(x.of.stored.Salt)) // here, and not once a user: it takes its time for strangers, too
	b = strconv.AppendInt(append(b, ",i="...), int64(x.of.stored.Iters), 10)
	answer := b[at:]
	b = append(b, ",c="...)
	at = len(b) - len("c=")
	b = base64.StdEncoding.AppendEncode(b, append(message[:len(message)-len(o.bare):len(message)-len(o.bare)], x.channel...))
	b = append(append(b, ','), given...)
	x.signed, x.expects = b, b[at:]
	return answer, nil
}

// agrees reports whether the client's view of channel binding is what its choice of a mechanism says (RFC 5802, section 7).
func (x *exchange) agrees(flag []byte) bool {
	if x.bound {
		return string(flag) == "p="+channelType
	}
	return string(flag) == "n" || string(flag) == "y" && !x.offered
}

// isPrintable reports whether all is what RFC 5802 counts as printable.
func isPrintable(text []byte) bool {
	for _, c := range text {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}

// openingFault is what is wrong with a first message, in the words of PostgreSQL.
func (x *exchange) openingFault(message []byte, o *opening, whole bool) *pgwire.Error {
	flag, nonce := string(o.flag), string(o.nonce)
	kind, typed := strings.CutPrefix(flag, "p=")
	plain := flag == "n" || flag == "y"
	switch {
	case bytes.IndexByte(message, 0) >= 0:
		return errZero
	case !whole:
		return malformed("The first message has too few attributes.")
	case typed && !x.bound:
		return malformed("The client selected " + scramMechanism + " without channel binding, but the SCRAM message includes channel binding data.")
	case typed && kind != channelType:
		return protocolViolation("unsupported SCRAM channel-binding type \""+printable(kind)+"\"", "")
	case plain && x.bound:
		return malformed("The client selected " + scramPlus + ", but the SCRAM message does not include channel binding data.")
	case flag == "y" && x.offered:
		return &pgwire.Error{Code: "28000", Message: "SCRAM channel binding negotiation error",
			Detail: "The client supports SCRAM channel binding but thinks the server does not. However, this server does support channel binding."}
	case bytes.HasPrefix(o.identity, []byte("a")):
		return &pgwire.Error{Code: "0A000", Message: "client uses authorization identity, but it is not supported"}
	case bytes.HasPrefix(o.name, []byte("m=")):
		return &pgwire.Error{Code: "0A000", Message: "client requires an unsupported SCRAM extension"}
	case printable(nonce) != nonce:
		return protocolViolation("non-printable characters in SCRAM nonce", "")
	}
	return malformed("The first message cannot be understood.")
}

// final answers the client's last message, and reports whether the client proved that it knows the password. An error is about
// the form of the message. The answer is valid until the end.
func (x *exchange) final(message []byte) (answer []byte, proven bool, e *pgwire.Error) {
	end := max(0, bytes.LastIndexByte(message, ',')) // what stands before the proof is signed by it
	extensions, begun := bytes.CutPrefix(message[:end], x.expects)
	var proof [sha256.Size + 1]byte // as much as base64 of that length may have
	if !begun || x.expects == nil || len(extensions) > 0 && (extensions[0] != ',' || bytes.IndexByte(extensions, 0) >= 0) || !readProof(&proof, message[end:]) {
		return nil, false, x.lastFault(message, end)
	}
	x.signed = append(x.signed, extensions...)
	stored := &x.of.stored
	signature := mac(stored.StoredKey, x.signed)
	subtle.XORBytes(x.key[:], proof[:], signature[:])
	sum := sha256.Sum256(x.key[:])
	if subtle.ConstantTimeCompare(sum[:], stored.StoredKey) != 1 {
		return nil, false, nil
	}
	x.proven = true
	signature = mac(stored.ServerKey, x.signed)
	return base64.StdEncoding.AppendEncode(append(x.room.answer[:0], "v="...), signature[:]), true, nil
}

// readProof reads the attribute that ends a last message.
func readProof(proof *[sha256.Size + 1]byte, attribute []byte) bool {
	text, ok := bytes.CutPrefix(attribute, []byte(",p="))
	if !ok || len(text) != base64.StdEncoding.EncodedLen(sha256.Size) || bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, '\n') >= 0 { // Go's base64 skips line ends
		return false
	}
	n, err := base64.StdEncoding.Decode(proof[:], text)
	return n == sha256.Size && err == nil
}

// lastFault is what is wrong with a last message whose proof begins at end, in the words of PostgreSQL.
func (x *exchange) lastFault(message []byte, end int) *pgwire.Error {
	channel, rest, _ := bytes.Cut(message[:end], comma)
	nonce, _, _ := bytes.Cut(rest, comma)
	wanted, _, _ := bytes.Cut(x.expects, comma)
	var proof [sha256.Size + 1]byte
	switch {
	case bytes.IndexByte(message, 0) >= 0:
		return errZero
	case x.expects == nil || !bytes.HasPrefix(channel, []byte("c=")) || !bytes.HasPrefix(nonce, []byte("r=")):
		return malformed("The last message cannot be understood.")
	case !bytes.Equal(channel, wanted) && x.bound:
		return &pgwire.Error{Code: "28000", Message: "SCRAM channel binding check failed"}
	case !bytes.Equal(channel, wanted):
		return protocolViolation("unexpected SCRAM channel-binding attribute in client-final-message", "")
	case !readProof(&proof, message[end:]):
		return malformed("Malformed proof in client-final-message.")
	}
	return protocolViolation("invalid SCRAM response", "Nonce does not match.")
}

// errZero is what PostgreSQL says of a message with a byte 0 in it.
var errZero = malformed("Message length does not match input length.")

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
