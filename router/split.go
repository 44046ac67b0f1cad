package router

// Split returns the statements of a script, each without its semicolon. Text
// that PostgreSQL's scanner rejects comes back as one. The parts share memory
// with text.
func Split(text []byte) [][]byte {
	q := Query{text: text}
	normalise(&q)
	parts := make([][]byte, len(q.pieces))
	for i, p := range q.pieces {
		parts[i] = text[p.off:p.end:p.end]
	}
	return parts
}
