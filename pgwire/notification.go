package pgwire

import "encoding/binary"

var errNotification = &FormatError{"NotificationResponse", "it is not a process ID, a channel and a payload"}

// Notification reads a NotificationResponse frame: the process that notified,
// and views of the channel and the payload.
func Notification(frame []byte) (pid uint32, channel, payload []byte, err error) {
	b, ok := body(frame, MsgNotification)
	if !ok || len(b) < 4 {
		return 0, nil, nil, errNotification
	}
	pid = binary.BigEndian.Uint32(b)
	if channel, b, ok = cutString(b[4:]); !ok {
		return 0, nil, nil, errNotification
	}
	if payload, b, ok = cutString(b); !ok || len(b) != 0 {
		return 0, nil, nil, errNotification
	}
	return pid, channel, payload, nil
}
