// Package pgwire turns bytes into frames, and frames into messages, of the
// PostgreSQL frontend/backend protocol 3.0 and 3.2, and back.
//
// It does no I/O and owns no buffers. Bytes from the network are untrusted:
// every count and length is checked against the bytes at hand before it is
// used, and a malformed frame is an error, never a panic.
//
// The package has three layers:
//
//   - Framing. [Peek] reads the header of a frame, [PeekStartup] the length of
//     the untyped first packet, which [ParseStartup] decodes.
//   - Looking in. Functions such as [QueryText], [DecodeParse] and [DecodeBind]
//     take a whole frame, header included, and return views of it: slices that
//     are valid for as long as the frame's bytes are, and must not be written
//     to. They allocate nothing, whether they succeed or fail, but for
//     [DecodeError] and those that read a client's password messages.
//   - Encoding. Functions named Append… add one frame to a slice and return the
//     extended slice. A string ends at its first NUL byte, if it has one, since
//     the protocol's strings cannot hold it. A message longer than the protocol
//     allows, or with more columns than it can count, is the caller's mistake
//     and panics.
//
// Errors and passwords are decoded by pgx's pgproto3, which is imported by no
// other package.
package pgwire
