package pgwire

// AppendCopyFail adds a CopyFail message, which makes the server end a COPY
// FROM STDIN with an error that quotes the reason.
func AppendCopyFail(dst []byte, reason string) []byte {
	dst, start := begin(dst, MsgCopyFail)
	return finish(appendString(dst, reason), start)
}
