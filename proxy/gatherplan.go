package proxy

import (
	"encoding/xml"
	"strconv"
	"strings"

	"github.com/pgdrover/pgdrover/pgwire"
)

// explain tells the client each shard's plan of what it would run. As text that is a line for the shard and its plan below it; in the other
// formats it is one document, whose members name their shard beside what PostgreSQL says: readers of plans find what they know.
func (g *gatherer) explain(why string) *pgwire.Error {
	var plans []shardPlan
	merged, e := g.isMerged()
	if e != nil {
		return e
	}
	for k, portion := range g.plan.Portions() {
		each := portion.Each()
		if merged {
			each = g.plan.Merging().Each()
		}
		if e := g.fetch(each, g.formats()); e != nil {
			return g.unrelated(portion, e)
		}
		for i := range g.all {
			p, e := g.planOf(&g.all[i], k+i == 0 && g.described)
			if e != nil {
				return e
			}
			plans = append(plans, p)
		}
	}
	var rows []string
	g.s.t.Await(func() { rows = g.planRows(plans, why, merged) })
	for _, row := range rows {
		g.row(pgwire.AppendDataRow(nil, [][]byte{[]byte(row)}))
	}
	return nil
}

// planOf reads what a shard has answered, and tells the client the description of its rows if it is to have it.
func (g *gatherer) planOf(a *gathered, describe bool) (shardPlan, *pgwire.Error) {
	p := shardPlan{shard: g.s.place.shards.Shard(a.link.shard).Name}
	for typ, frame := range framesIn(a.out.frames) {
		switch {
		case typ == pgwire.MsgRowDescription && describe:
			g.s.client.Queue(frame)
		case typ == pgwire.MsgDataRow:
			values, err := pgwire.DecodeDataRow(frame, nil)
			if err != nil || len(values) != 1 {
				return p, errProtocol
			}
			p.lines = append(p.lines, string(values[0]))
		}
	}
	return p, nil
}

// shardPlan is what one shard has answered to EXPLAIN: lines, or one document.
type shardPlan struct {
	shard string
	lines []string
}

// isMerged reports whether the rows of the statement would be merged here.
func (g *gatherer) isMerged() (bool, *pgwire.Error) {
	m := g.plan.Merging()
	if m == nil {
		return false, nil
	}
	w, e := g.merger(m)
	return w != nil, e
}

// planRows makes the rows of the answer.
func (g *gatherer) planRows(plans []shardPlan, why string, merged bool) []string {
	switch g.plan.Explains() {
	case "json":
		return oneDocument(plans, "[", ",", "\n]", func(p shardPlan, doc string) string {
			doc = strings.TrimRight(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(doc), "["), "]"), " \n")
			return strings.Replace(doc, "{", "{\n    \"Shard\": "+strconv.Quote(p.shard)+",", 1)
		})
	case "yaml":
		return oneDocument(plans, "", "\n", "", func(p shardPlan, doc string) string {
			return strings.Replace(doc, "- ", "- Shard: "+strconv.Quote(p.shard)+"\n  ", 1)
		})
	case "xml":
		return oneDocument(plans, `<explain xmlns="http://www.postgresql.org/2009/explain">`, "", "\n</explain>", func(p shardPlan, doc string) string {
			_, doc, _ = strings.Cut(doc, "explain\">") // a binary value begins with a declaration
			doc, _, _ = strings.Cut(doc, "\n</explain>")
			var name strings.Builder
			_ = xml.EscapeText(&name, []byte(p.shard)) // a Builder takes everything
			return strings.Replace(doc, "<Query>", "<Query>\n    <Shard>"+name.String()+"</Shard>", 1)
		})
	}
	rows := []string{"Scatter: " + why}
	for _, p := range plans {
		rows = append(rows, "  Shard "+p.shard+":")
		for _, line := range p.lines {
			rows = append(rows, "    "+line)
		}
	}
	if merged {
		rows = append(rows, "  Rows merged in their order by PgDrover")
	} else if by := g.plan.Outline(); by != "" {
		rows = append(rows, "  Answer made by shard "+plans[0].shard+": "+by)
	}
	return rows
}

// oneDocument joins the documents of the shards, each after change has made it a member of one.
func oneDocument(plans []shardPlan, begin, between, end string, change func(shardPlan, string) string) []string {
	list := make([]string, len(plans))
	for i, p := range plans {
		list[i] = change(p, strings.Join(p.lines, "\n"))
	}
	return []string{begin + strings.Join(list, between) + end}
}
