package pgwire

// AppendCopyFail adds a CopyFail message, which makes the server end a COPY
// FROM STDIN with an error that quotes the reason.
func AppendCopyFail(dst []byte, reason string) []byte {
	dst, start := begin(dst, MsgCopyFail)
	return finish(appendString(dst, reason), start)
}

// AppendCopyDone adds a CopyDone message.
func AppendCopyDone(dst []byte) []byte { return appendEmpty(dst, MsgCopyDone) }

// AppendCopyData adds a CopyData message of the parts of its data.
func AppendCopyData(dst []byte, parts ...[]byte) []byte {
	dst, start := begin(dst, MsgCopyData)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return finish(dst, start)
}

// CopyFailReason is why a client ends a COPY FROM STDIN, from its CopyFail.
func CopyFailReason(frame []byte) string {
	b, _ := body(frame, MsgCopyFail)
	reason, _, _ := cutString(b)
	return string(reason)
}

// CopyColumns is how many columns a CopyInResponse or CopyOutResponse says that the data has; 0 if it cannot be read.
func CopyColumns(frame []byte) int {
	const head = 1 + 4 + 1 // type, length, format
	if len(frame) < head {
		return 0
	}
	n, _, _ := cutUint16(frame[head:])
	return n
}

// SetCopyData makes b, which begins with the head of a message and has its data behind it, one CopyData.
func SetCopyData(b []byte) {
	b[0] = MsgCopyData
	setLength(b[1:])
}
