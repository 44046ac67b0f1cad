package pgwire

import "encoding/binary"

// Transaction status in a ReadyForQuery message.
const (
	StatusIdle        byte = 'I' // outside a transaction block
	StatusTransaction byte = 'T' // in a transaction block
	StatusFailed      byte = 'E' // in a failed transaction block
)

var (
	errParameterStatus = &FormatError{"ParameterStatus", "it is not a name and a value, each ended by a NUL byte"}
	errReady           = &FormatError{"ReadyForQuery", "it is not one transaction status I, T or E"}
	errCommandTag      = &FormatError{"CommandComplete", "the tag is not ended by the only NUL byte"}
	errKeyData         = &FormatError{"BackendKeyData", "it is not a process ID and a key of 4 to 256 bytes"}
)

// AppendReadyForQuery adds a ReadyForQuery message.
func AppendReadyForQuery(dst []byte, status byte) []byte {
	return append(dst, MsgReadyForQuery, 0, 0, 0, 5, status)
}

// ReadyStatus is the transaction status of a ReadyForQuery frame:
// [StatusIdle], [StatusTransaction] or [StatusFailed].
func ReadyStatus(frame []byte) (byte, error) {
	b, ok := body(frame, MsgReadyForQuery)
	if !ok || len(b) != 1 {
		return 0, errReady
	}
	switch b[0] {
	case StatusIdle, StatusTransaction, StatusFailed:
		return b[0], nil
	}
	return 0, errReady
}

// AppendCommandComplete adds a CommandComplete message with a tag such as
// "INSERT 0 1".
func AppendCommandComplete(dst []byte, tag string) []byte {
	dst, start := begin(dst, MsgCommandComplete)
	return finish(appendString(dst, tag), start)
}

// CommandTag is a view of the tag of a CommandComplete frame.
func CommandTag(frame []byte) ([]byte, error) {
	b, ok := body(frame, MsgCommandComplete)
	if !ok {
		return nil, errCommandTag
	}
	tag, rest, ok := cutString(b)
	if !ok || len(rest) != 0 {
		return nil, errCommandTag
	}
	return tag, nil
}

// AppendParameterStatus adds a ParameterStatus message.
func AppendParameterStatus(dst []byte, name, value string) []byte {
	dst, start := begin(dst, MsgParameterStatus)
	dst = appendString(dst, name)
	return finish(appendString(dst, value), start)
}

// ParameterStatus returns views of the name and value in a ParameterStatus
// frame.
func ParameterStatus(frame []byte) (name, value []byte, err error) {
	b, ok := body(frame, MsgParameterStatus)
	if !ok {
		return nil, nil, errParameterStatus
	}
	if name, b, ok = cutString(b); !ok {
		return nil, nil, errParameterStatus
	}
	if value, b, ok = cutString(b); !ok || len(b) != 0 {
		return nil, nil, errParameterStatus
	}
	return name, value, nil
}

// AppendBackendKeyData adds a BackendKeyData message. The secret has 4 bytes
// in protocol 3.0, and 4 to 256 in 3.2.
func AppendBackendKeyData(dst []byte, pid uint32, secret []byte) []byte {
	dst, start := begin(dst, MsgBackendKeyData)
	dst = binary.BigEndian.AppendUint32(dst, pid)
	return finish(append(dst, secret...), start)
}

// BackendKeyData reads a BackendKeyData frame; the secret is a view.
func BackendKeyData(frame []byte) (pid uint32, secret []byte, err error) {
	b, ok := body(frame, MsgBackendKeyData)
	if !ok || len(b) < 4+MinSecretLen || len(b) > 4+MaxSecretLen {
		return 0, nil, errKeyData
	}
	return binary.BigEndian.Uint32(b), b[4:], nil
}
