// Package repocheck holds the repository's style as Go tests: which package may import which, which outside module has
// which one door, how long a file and a function may be, what must carry a doc comment, that the names in the documents
// exist in the code, and that session code blocks nowhere but in the session seam.
//
// Everything here reads source text with go/parser and go/ast. Nothing is type-checked or built, so all of it runs in a
// second or two and a half-written tree can be checked as well. Each rule is a function from a Tree to findings; the
// tests run every rule on the repository and on small sources which must be flagged or must pass.
//
// Two lists hold what is let off, each with its reason: exceptions.txt (sizes) and serverside.txt (code of package proxy
// that belongs to no session). An entry that is no longer needed is a finding itself, so the lists can only shrink.
package repocheck
