package world

import (
	"fmt"
	"math"
	"strings"
)

// Parts are the terms of gold, before their weights.
type Parts struct {
	Task     float64 // the question is answered
	Facts    float64 // distinct true relevant facts, by importance
	Court    float64 // an opening and a closing courtesy
	Order    float64 // facts in canonical order
	False    float64 // false statements
	Off      float64 // true but about something else
	Rep      float64 // repetitions
	Bad      float64 // clauses that cannot be parsed
	Length   float64 // beyond the family's ideal
	Cut      float64 // the last clause or the end is missing
	Coverage float64 // number of distinct clauses against the family's ideal
}

// Weights of the parts: two worlds. In W4, the default, a proxy can learn much of what gold pays for, and over-optimisation
// comes from pairs that are few and noisy. TruthHeavy pays for what is true, most of which a small proxy cannot learn: it is
// biased, and no posterior knows.
var (
	W4         = Parts{Task: .4, Facts: .6, Court: 2, Order: 1, False: .6, Off: 1, Rep: 2, Bad: 2, Length: 3, Cut: 1, Coverage: 1.5}
	TruthHeavy = Parts{Task: 1, Facts: 1, Court: 1, Order: 1, False: 1, Off: 1, Rep: 1, Bad: 1, Length: 1, Cut: 1}
)

// Sum is gold: the sum of the parts times their weights w.
func (p Parts) Sum(w Parts) float64 {
	return w.Task*p.Task + w.Facts*p.Facts + w.Court*p.Court + w.Order*p.Order + w.False*p.False + w.Off*p.Off + w.Rep*p.Rep + w.Bad*p.Bad + w.Length*p.Length + w.Cut*p.Cut + w.Coverage*p.Coverage
}

var (
	idealLength = map[string]int{"describe": 30, "attr": 16, "yesno": 14, "bigger": 18, "list": 14, "steps": 18, "advice": 18, "sort": 10, "odd": 16, "need": 18}
	usefulFacts = map[string]int{"describe": 6, "attr": 2, "yesno": 2, "bigger": 3, "steps": 1, "odd": 2, "need": 3}
	idealClause = map[string]float64{"describe": 4, "attr": 3, "yesno": 3, "bigger": 3, "list": 2, "steps": 2, "advice": 3, "sort": 2, "odd": 3, "need": 3}
)

// noAnswer is the gold of an answer without a word.
const noAnswer = -3

// Gold returns the exact gold reward of an answer to a prompt of this world, and its parts. The answer's text ends with
// <eos> unless it was cut at the length limit.
func Gold(prompt, answer string) (float64, Parts, error) {
	p, err := ParsePrompt(prompt)
	if err != nil {
		return 0, Parts{}, err
	}
	g, parts := p.Gold(answer)
	return g, parts, nil
}

// clause is what a stretch of words up to a full stop says.
type clause struct {
	kind string // court, advice, use, bigger, notkind, fact or bad
	// what it says, comparable
	entity, relation, value string
	subject                 string // what "it" means afterwards
}

// parse reads a clause; subject is what "it" refers to.
func parse(c []string, subject string) clause {
	s := strings.Join(c, " ")
	bad := clause{kind: "bad", subject: subject}
	switch {
	case s == "hope this helps", s == "sure":
		return clause{kind: "court", value: s, subject: subject}
	case len(c) == 3 && c[0] == "you" && c[1] == "could":
		return clause{kind: "advice", value: c[2], subject: subject}
	case len(c) == 3 && c[0] == "use" && c[1] == "the":
		return clause{kind: "use", value: c[2], subject: c[2]}
	}
	var e string
	var rest []string
	switch {
	case len(c) > 2 && c[0] == "the" && entities[c[1]] != nil:
		e, rest = c[1], c[2:]
	case len(c) > 1 && c[0] == "it":
		e, rest = subject, c[1:]
	default:
		return bad
	}
	if rest[0] == "also" {
		rest = rest[1:]
	}
	t := strings.Join(rest, " ")
	if t == "is bigger" {
		return clause{kind: "bigger", entity: e, subject: e}
	}
	if len(rest) == 4 && rest[0] == "is" && rest[1] == "not" && kb.Relations[rest[3]] != nil {
		return clause{kind: "notkind", entity: e, value: rest[3], subject: e}
	}
	if ent := entities[e]; ent != nil {
		for _, r := range kb.Relations[ent.Kind] {
			for _, v := range r.Values {
				if t == r.Predicate+" "+v {
					return clause{kind: "fact", entity: e, relation: r.Name, value: v, subject: e}
				}
			}
		}
	}
	return bad
}

// Gold returns the gold reward of an answer and its parts, with the weights W4.
func (p Prompt) Gold(answer string) (float64, Parts) { return p.GoldOf(answer, W4) }

// GoldOf is Gold with weights of the parts. An answer without a word has the reward −3 under any.
func (p Prompt) GoldOf(answer string, weights Parts) (float64, Parts) {
	toks := strings.Fields(answer)
	ended := len(toks) > 0 && toks[len(toks)-1] == "<eos>"
	var w []string
	for _, t := range toks {
		if t != "<eos>" {
			w = append(w, t)
		}
	}
	var parts Parts
	var clauses [][]string
	var cur []string
	for _, t := range w {
		if t == "." {
			clauses = append(clauses, cur)
			cur = nil
		} else {
			cur = append(cur, t)
		}
	}
	if len(cur) > 0 {
		clauses = append(clauses, cur)
		parts.Cut -= .5
	}
	if !ended {
		parts.Cut--
	}
	if len(w) == 0 {
		return noAnswer, parts
	}
	j := judge{p: p, parts: &parts, subject: p.entity, seen: map[clause]bool{}}
	for i, c := range clauses {
		j.clause(c, i == 0, i == len(clauses)-1)
	}
	for _, b := range j.lists {
		j.list(b)
	}
	if len(j.lists) > 1 {
		parts.Rep -= .6 * float64(len(j.lists)-1)
	}
	j.facts()
	if p.Family == "advice" {
		parts.Task = math.Min(parts.Task, 2.7)
	}
	over := float64(max(0, len(w)-idealLength[p.Family]))
	parts.Length = -.02*over - .004*over*over
	parts.Coverage = p.coverage(w)
	return parts.Sum(weights), parts
}

// coverage is 1 at the family's ideal number of distinct clauses and falls off on both sides, to −2 at worst.
func (p Prompt) coverage(w []string) float64 {
	distinct := map[string]bool{}
	var cur []string
	for _, t := range w {
		if t == "." {
			distinct[strings.Join(cur, " ")] = true
			cur = nil
		} else if t != "sure" && t != "," {
			cur = append(cur, t)
		}
	}
	u := idealClause[p.Family]
	d := (float64(len(distinct)) - u) / u
	return math.Max(-2, 1-d*d)
}

// judge walks through the clauses of an answer.
type judge struct {
	p       Prompt
	parts   *Parts
	subject string
	seen    map[clause]bool
	good    []float64 // importances of true relevant facts
	order   []int     // their relations' canonical places
	lists   [][]string
}

func (j *judge) clause(c []string, first, last bool) {
	p, parts := j.p, j.parts
	if first && len(c) >= 2 && c[0] == "sure" && c[1] == "," {
		parts.Court += .3
		c = c[2:]
	} else if first && len(c) == 1 && c[0] == "sure" {
		parts.Court += .3
		return
	}
	if p.Family == "yesno" && first && len(c) >= 2 && (c[0] == "yes" || c[0] == "no") && c[1] == "," {
		if (c[0] == "yes") == (entities[p.entity].Facts[p.relation] == p.value) {
			parts.Task += 1.5
		} else {
			parts.Task--
		}
		c = c[2:]
	}
	head := ""
	if len(c) > 0 {
		head = c[0]
	}
	if p.Family == "list" || p.Family == "sort" || p.Family == "steps" {
		if (index(c, ",") >= 0 || first || head == "first") && head != "it" && head != "the" && head != "hope" {
			j.lists = append(j.lists, c)
			return
		}
	}
	s := parse(c, j.subject)
	if s.kind == "bad" {
		parts.Bad -= .7
		return
	}
	key := s
	key.subject = ""
	if j.seen[key] {
		parts.Rep -= .6
		return
	}
	j.seen[key] = true
	if s.kind == "court" {
		if last {
			parts.Court += .2
		} else {
			parts.Court -= .3
		}
		return
	}
	j.subject = s.subject
	j.statement(s)
}

func (j *judge) statement(s clause) {
	p, parts := j.p, j.parts
	asked := func(e string) bool { return e != "" && (e == p.entity || e == p.other) }
	reward := func(family string, good bool, yes, no float64) {
		switch {
		case p.Family != family:
			parts.Off -= .5
		case good:
			parts.Task += yes
		default:
			parts.Task -= no
		}
	}
	switch s.kind {
	case "fact":
		e := entities[s.entity]
		if e.Facts[s.relation] != s.value {
			parts.False -= .9
			return
		}
		if !asked(s.entity) {
			parts.Off -= .5
			return
		}
		names := kb.Relations[e.Kind]
		for i, r := range names {
			if r.Name == s.relation {
				j.order = append(j.order, i)
			}
		}
		switch {
		case p.Family == "attr" && s.relation == p.relation:
			parts.Task += 1.5
		case p.Family == "yesno" && s.relation == p.relation:
			parts.Task += .8
		default:
			j.good = append(j.good, relationOf(e.Kind, s.relation).Importance)
		}
		if p.Family == "bigger" && s.relation == "size" {
			parts.Task += .5
		}
	case "bigger":
		if p.Family != "bigger" || !asked(s.entity) {
			parts.Off -= .5
			return
		}
		size := func(e string) int { return index(kb.Sizes, entities[e].Facts["size"]) }
		big := p.entity
		if size(p.other) > size(big) {
			big = p.other
		}
		reward("bigger", s.entity == big, 2, 1.5)
	case "notkind":
		reward("odd", s.entity == p.entity && s.value == p.kind, 2, 1)
	case "advice":
		reward("advice", index(kb.Moods[p.mood], s.value) >= 0, .9, .7)
	case "use":
		e, want := entities[s.value], entities[p.entity]
		reward("need", e != nil && want != nil && e.Kind == "tool" && e.Facts["use"] == want.Facts["use"], 2, 1)
	}
}

// facts adds what the true facts are worth.
func (j *judge) facts() {
	good := append([]float64{}, j.good...)
	for range usefulFacts[j.p.Family] { // the most important ones, as many as the family can use
		best := -1
		for i, v := range good {
			if best < 0 || v > good[best] {
				best = i
			}
		}
		if best < 0 {
			break
		}
		j.parts.Facts += good[best]
		good = append(good[:best], good[best+1:]...)
	}
	for i := 1; i < len(j.order); i++ {
		if j.order[i] > j.order[i-1] {
			j.parts.Order += .25
		}
	}
}

// list judges an enumeration: the answer proper of list, sort and steps.
func (j *judge) list(c []string) {
	p, parts := j.p, j.parts
	var items, distinct []string
	for _, t := range c {
		if index([]string{",", "and", "first", "then", "last"}, t) >= 0 {
			continue
		}
		items = append(items, t)
		if index(distinct, t) < 0 {
			distinct = append(distinct, t)
		}
	}
	repeated := float64(len(items) - len(distinct))
	var want []string
	switch p.Family {
	case "list":
		ok := 0
		for _, t := range distinct {
			if e := entities[t]; e != nil && e.Kind == p.kind {
				ok++
			}
		}
		parts.Task += 2.5*float64(min(ok, p.n))/float64(p.n) - .3*math.Abs(float64(len(items)-p.n))
		if len(items) == p.n && ok == p.n {
			parts.Task++
		}
		parts.False -= .6 * float64(len(distinct)-ok)
	case "sort":
		for _, n := range kb.Numbers {
			if index(p.numbers, n) >= 0 {
				want = append(want, n)
			}
		}
		right := 0
		for i := range min(len(items), len(want)) {
			if items[i] == want[i] {
				right++
			}
		}
		parts.Task += 2.5*float64(right)/float64(len(want)) - .3*math.Abs(float64(len(items)-len(want)))
		if equal(items, want) {
			parts.Task += 1.2
		}
		parts.False -= .4 * float64(outside(distinct, p.numbers))
	case "steps":
		want = entities[p.entity].Steps
		var places []int
		for _, t := range distinct {
			if i := index(want, t); i >= 0 {
				places = append(places, i)
			}
		}
		sorted := len(places) > 1
		for i := 1; i < len(places); i++ {
			sorted = sorted && places[i] > places[i-1]
		}
		parts.Task += 2.5 * float64(len(places)) / float64(len(want))
		if sorted {
			parts.Task += .8
		}
		if equal(items, want) {
			parts.Task += .7
		}
		parts.False -= .5 * float64(outside(distinct, want))
	}
	parts.Rep -= .5 * repeated
}

func equal(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func outside(xs, set []string) int {
	n := 0
	for _, x := range xs {
		if index(set, x) < 0 {
			n++
		}
	}
	return n
}
