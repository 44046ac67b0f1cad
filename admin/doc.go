// Package admin shows a running proxy to its operator: as a console for psql, and over HTTP as health, metrics and a page.
//
// Everything here reads snapshots that the other packages give, when somebody asks. Nothing of it is on the path of a query, and
// no lock is held while an answer is made or sent.
package admin
