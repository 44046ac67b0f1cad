package pgwire

import "encoding/binary"

// Bounds of the secret in BackendKeyData and CancelRequest, in bytes
// (PostgreSQL's documentation of message formats, protocol 3.2). Protocol 3.0
// has secrets of exactly MinSecretLen bytes.
const (
	MinSecretLen = 4
	MaxSecretLen = 256
)

// AppendCancelRequest adds a CancelRequest: a packet without a type byte, sent
// instead of a startup packet on a connection of its own.
func AppendCancelRequest(dst []byte, pid uint32, secret []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, codeCancel)
	dst = binary.BigEndian.AppendUint32(dst, pid)
	dst = append(dst, secret...)
	setLength(dst[start:])
	return dst
}
