package router

// body follows CREATE FUNCTION … BEGIN ATOMIC … END, whose semicolons end no
// statement.
type body struct {
	words   int  // words seen, up to a few
	create  bool // the first word was CREATE
	routine bool // CREATE [OR REPLACE] FUNCTION or PROCEDURE
	began   bool // the last word was BEGIN
	depth   int  // of BEGIN ATOMIC and of CASE within it
}

// word notes a word of the statement.
func (b *body) word(w []byte) {
	b.words++
	if b.words > 4 && !b.routine {
		return
	}
	switch text := lowerWord(w); {
	case b.words == 1:
		b.create = text == "create"
	case b.create && b.words <= 4 && (text == "function" || text == "procedure"):
		b.routine = true
	case !b.routine:
	case text == "atomic" && b.began:
		b.depth++
	case text == "case" && b.depth > 0:
		b.depth++
	case text == "end" && b.depth > 0:
		b.depth--
	default:
		b.began = text == "begin"
		return
	}
	b.began = false
}

// lowerWord returns a short word in lower case, and "" for a long one.
func lowerWord(w []byte) string {
	var b [10]byte
	if len(w) > len(b) {
		return ""
	}
	for i, c := range w {
		b[i] = lower[c]
	}
	return string(b[:len(w)])
}
