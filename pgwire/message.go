package pgwire

// Types of the messages that a client sends.
const (
	MsgBind         byte = 'B'
	MsgClose        byte = 'C'
	MsgDescribe     byte = 'D'
	MsgExecute      byte = 'E'
	MsgFunctionCall byte = 'F'
	MsgFlush        byte = 'H'
	MsgParse        byte = 'P'
	MsgPassword     byte = 'p' // also SASLInitialResponse, SASLResponse and GSSResponse
	MsgQuery        byte = 'Q'
	MsgSync         byte = 'S'
	MsgTerminate    byte = 'X'
)

// Types of the messages that a client and a server send.
const (
	MsgCopyData byte = 'd'
	MsgCopyDone byte = 'c'
	MsgCopyFail byte = 'f' // sent by the client only
)

// Types of the messages that a server sends.
const (
	MsgAuthentication       byte = 'R'
	MsgBackendKeyData       byte = 'K'
	MsgBindComplete         byte = '2'
	MsgCloseComplete        byte = '3'
	MsgCommandComplete      byte = 'C'
	MsgCopyBoth             byte = 'W'
	MsgCopyIn               byte = 'G'
	MsgCopyOut              byte = 'H'
	MsgDataRow              byte = 'D'
	MsgEmptyQuery           byte = 'I'
	MsgErrorResponse        byte = 'E'
	MsgFunctionCallResponse byte = 'V'
	MsgNegotiateVersion     byte = 'v'
	MsgNoData               byte = 'n'
	MsgNoticeResponse       byte = 'N'
	MsgNotification         byte = 'A'
	MsgParameterDescription byte = 't'
	MsgParameterStatus      byte = 'S'
	MsgParseComplete        byte = '1'
	MsgPortalSuspended      byte = 's'
	MsgReadyForQuery        byte = 'Z'
	MsgRowDescription       byte = 'T'
)

var clientMessages = [128]string{
	MsgBind:         "Bind",
	MsgClose:        "Close",
	MsgDescribe:     "Describe",
	MsgExecute:      "Execute",
	MsgFunctionCall: "FunctionCall",
	MsgFlush:        "Flush",
	MsgParse:        "Parse",
	MsgPassword:     "Password",
	MsgQuery:        "Query",
	MsgSync:         "Sync",
	MsgTerminate:    "Terminate",
	MsgCopyData:     "CopyData",
	MsgCopyDone:     "CopyDone",
	MsgCopyFail:     "CopyFail",
}

var serverMessages = [128]string{
	MsgAuthentication:       "Authentication",
	MsgBackendKeyData:       "BackendKeyData",
	MsgBindComplete:         "BindComplete",
	MsgCloseComplete:        "CloseComplete",
	MsgCommandComplete:      "CommandComplete",
	MsgCopyBoth:             "CopyBothResponse",
	MsgCopyData:             "CopyData",
	MsgCopyDone:             "CopyDone",
	MsgCopyIn:               "CopyInResponse",
	MsgCopyOut:              "CopyOutResponse",
	MsgDataRow:              "DataRow",
	MsgEmptyQuery:           "EmptyQueryResponse",
	MsgErrorResponse:        "ErrorResponse",
	MsgFunctionCallResponse: "FunctionCallResponse",
	MsgNegotiateVersion:     "NegotiateProtocolVersion",
	MsgNoData:               "NoData",
	MsgNoticeResponse:       "NoticeResponse",
	MsgNotification:         "NotificationResponse",
	MsgParameterDescription: "ParameterDescription",
	MsgParameterStatus:      "ParameterStatus",
	MsgParseComplete:        "ParseComplete",
	MsgPortalSuspended:      "PortalSuspended",
	MsgReadyForQuery:        "ReadyForQuery",
	MsgRowDescription:       "RowDescription",
}

// MessageName is PostgreSQL's name of a message type, or "" for a type that
// the protocol does not have in that direction.
func MessageName(toServer bool, typ byte) string {
	switch {
	case typ >= 128:
		return ""
	case toServer:
		return clientMessages[typ]
	default:
		return serverMessages[typ]
	}
}
