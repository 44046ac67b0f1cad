package pgwire

// What a Describe or Close message is about.
const (
	ObjectStatement byte = 'S'
	ObjectPortal    byte = 'P'
)

var (
	errDescribe = &FormatError{"Describe", "it is not the kind S or P and a name ended by the only NUL byte"}
	errClose    = &FormatError{"Close", "it is not the kind S or P and a name ended by the only NUL byte"}
)

// DecodeDescribe reads a Describe frame: the kind of object
// ([ObjectStatement] or [ObjectPortal]) and a view of its name.
func DecodeDescribe(frame []byte) (kind byte, name []byte, err error) {
	kind, name, ok := object(frame, MsgDescribe)
	if !ok {
		return 0, nil, errDescribe
	}
	return kind, name, nil
}

// DecodeClose reads a Close frame as [DecodeDescribe] reads a Describe frame.
func DecodeClose(frame []byte) (kind byte, name []byte, err error) {
	kind, name, ok := object(frame, MsgClose)
	if !ok {
		return 0, nil, errClose
	}
	return kind, name, nil
}

func object(frame []byte, typ byte) (kind byte, name []byte, ok bool) {
	b, ok := body(frame, typ)
	if !ok || len(b) == 0 || b[0] != ObjectStatement && b[0] != ObjectPortal {
		return 0, nil, false
	}
	name, rest, ok := cutString(b[1:])
	return b[0], name, ok && len(rest) == 0
}

// AppendDescribe adds a Describe message for an object of a kind
// ([ObjectStatement] or [ObjectPortal]).
func AppendDescribe(dst []byte, kind byte, name string) []byte {
	return appendObject(dst, MsgDescribe, kind, name)
}

// AppendDescribeNamed adds a Describe message for a prepared statement.
func AppendDescribeNamed(dst []byte, statement string) []byte {
	return appendObject(dst, MsgDescribe, ObjectStatement, statement)
}

// AppendClose adds a Close message for an object of a kind
// ([ObjectStatement] or [ObjectPortal]).
func AppendClose(dst []byte, kind byte, name string) []byte {
	return appendObject(dst, MsgClose, kind, name)
}

// AppendCloseNamed adds a Close message for a prepared statement.
func AppendCloseNamed(dst []byte, statement string) []byte {
	return appendObject(dst, MsgClose, ObjectStatement, statement)
}

func appendObject(dst []byte, typ, kind byte, name string) []byte {
	dst, start := begin(dst, typ)
	dst = append(dst, kind)
	return finish(appendString(dst, name), start)
}
