package router

// class says what a byte may begin.
type class uint8

const (
	classOther   class = iota
	classSpace         // blank
	classLetter        // a letter, _ or any byte of a multibyte character
	classDigit         // 0-9
	classQuote         // '
	classDouble        // "
	classDollar        // $
	classDot           // .
	classColon         // :
	classOp            // operator characters
	classSelf          // ( ) [ ] ,
	classEnd           // ;
	classLiteral       // letters that may open a literal: b e n u x
)

// classes is filled once, and never changes.
var classes = newClasses()

func newClasses() (t [256]class) {
	for c := 0; c < 256; c++ {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= 0x80:
			t[c] = classLetter
		case c >= '0' && c <= '9':
			t[c] = classDigit
		}
	}
	for _, set := range []struct {
		chars string
		class class
	}{
		{" \t\n\r\f\v", classSpace}, {"'", classQuote}, {`"`, classDouble}, {"$", classDollar}, {".", classDot},
		{":", classColon}, {"~!@#^&|`?+-*/%<>=", classOp}, {"()[],", classSelf}, {";", classEnd},
		{"bBeEuUxX", classLiteral},
	} {
		for _, c := range []byte(set.chars) {
			t[c] = set.class
		}
	}
	return t
}

// lower folds ASCII letters, as PostgreSQL folds identifiers of multibyte
// encodings; other bytes are themselves.
var lower = newLower()

func newLower() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
		if c >= 'A' && c <= 'Z' {
			t[c] = byte(c) + 'a' - 'A'
		}
	}
	return t
}

// isWordByte reports whether c continues an identifier.
func isWordByte(c byte) bool {
	k := classes[c]
	return k == classLetter || k == classLiteral || k == classDigit || c == '$'
}

func isLetter(c byte) bool { return classes[c] == classLetter || classes[c] == classLiteral }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
