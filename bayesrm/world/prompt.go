package world

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Prompt is a question with what is needed to judge an answer to it.
type Prompt struct {
	Text   string
	Family string // one of Families

	entity, other string // what is asked about; other is the second of "bigger"
	relation      string
	value         string // yesno
	kind          string // list, odd
	n             int    // list
	mood          string
	numbers       []string // sort
}

// Families lists the families of prompts.
var Families = []string{"describe", "attr", "yesno", "bigger", "list", "steps", "advice", "sort", "odd", "need"}

func pick[T any](rng *rand.Rand, xs []T) T { return xs[rng.IntN(len(xs))] }

// NewPrompt draws a prompt, families being equally likely.
func NewPrompt(rng *rand.Rand) Prompt {
	p := Prompt{Family: pick(rng, Families)}
	switch p.Family {
	case "describe":
		p.entity = pick(rng, kb.Entities).Name
		p.Text = "tell me about the " + p.entity + " ."
	case "attr":
		e := pick(rng, kb.Entities)
		r := pick(rng, kb.Relations[e.Kind])
		p.entity, p.relation = e.Name, r.Name
		p.Text = fmt.Sprintf("what %s the %s ?", r.Predicate, e.Name)
		if r.Name == "color" || r.Name == "size" {
			p.Text = fmt.Sprintf("what %s is the %s ?", r.Name, e.Name)
		}
	case "yesno":
		e := pick(rng, kb.Entities)
		r := pick(rng, kb.Relations[e.Kind])
		p.entity, p.relation, p.value = e.Name, r.Name, e.Facts[r.Name]
		if rng.Float64() >= .5 {
			p.value = pick(rng, r.Values)
		}
		p.Text = fmt.Sprintf("the %s %s %s , yes or no ?", e.Name, r.Predicate, p.value)
	case "bigger":
		pool := append(ofKind("animal"), ofKind("tool")...)
		for {
			p.entity, p.other = pick(rng, pool), pick(rng, pool)
			if entities[p.entity].Facts["size"] != entities[p.other].Facts["size"] {
				break
			}
		}
		p.Text = fmt.Sprintf("which is bigger the %s or the %s ?", p.entity, p.other)
	case "list":
		p.n, p.kind = 2+rng.IntN(5), pick(rng, kinds)
		p.Text = fmt.Sprintf("name %s %ss .", kb.Numbers[p.n-1], p.kind)
	case "steps":
		p.entity = pick(rng, ofKind("food"))
		p.Text = fmt.Sprintf("how do i make %s ?", p.entity)
	case "advice":
		p.mood = pick(rng, moods)
		p.Text = fmt.Sprintf("i feel %s . what should i do ?", p.mood)
	case "sort":
		for _, i := range rng.Perm(9)[:3+rng.IntN(4)] {
			p.numbers = append(p.numbers, kb.Numbers[i])
		}
		p.Text = "sort " + strings.Join(p.numbers, " ") + " ."
	case "odd":
		p.kind = pick(rng, kinds)
		other := pick(rng, kinds)
		for other == p.kind {
			other = pick(rng, kinds)
		}
		p.entity = pick(rng, ofKind(other))
		own := ofKind(p.kind)
		perm := rng.Perm(len(own))
		words := []string{own[perm[0]], own[perm[1]], p.entity}
		rng.Shuffle(3, func(i, j int) { words[i], words[j] = words[j], words[i] })
		p.Text = fmt.Sprintf("which is not %s %s , %s ?", article(p.kind), p.kind, strings.Join(words, " "))
	case "need":
		p.entity = pick(rng, ofKind("tool"))
		p.Text = fmt.Sprintf("i need to %s . what should i use ?", entities[p.entity].Facts["use"])
	}
	return p
}

func article(kind string) string {
	if kind == "animal" {
		return "an"
	}
	return "a"
}

// ParsePrompt reads a prompt's text.
func ParsePrompt(text string) (Prompt, error) {
	p := Prompt{Text: text}
	w := strings.Fields(text)
	n := len(w)
	bad := fmt.Errorf("world: %q is no prompt of this world", text)
	if n < 4 {
		return p, bad
	}
	switch {
	case strings.HasPrefix(text, "tell me about the "):
		p.Family, p.entity = "describe", w[4]
	case w[0] == "what" && w[n-1] == "?":
		p.Family, p.entity = "attr", w[n-2]
		e := entities[p.entity]
		if e == nil {
			return p, bad
		}
		middle := strings.Join(w[1:n-3], " ")
		for _, r := range kb.Relations[e.Kind] {
			if middle == r.Predicate && r.Name != "color" && r.Name != "size" || middle == r.Name+" is" {
				p.relation = r.Name
			}
		}
	case strings.HasSuffix(text, ", yes or no ?"):
		p.Family, p.entity, p.value = "yesno", w[1], w[n-6]
		e := entities[p.entity]
		if e == nil {
			return p, bad
		}
		middle := strings.Join(w[2:n-6], " ")
		for _, r := range kb.Relations[e.Kind] { // colour and size share "is": the value tells them apart
			if middle == r.Predicate && index(r.Values, p.value) >= 0 {
				p.relation = r.Name
			}
		}
	case strings.HasPrefix(text, "which is bigger"):
		p.Family, p.entity, p.other = "bigger", w[4], w[7]
	case w[0] == "name":
		p.Family, p.n, p.kind = "list", index(kb.Numbers, w[1])+1, strings.TrimSuffix(w[2], "s")
	case strings.HasPrefix(text, "how do i make"):
		p.Family, p.entity = "steps", w[4]
	case strings.HasPrefix(text, "i feel"):
		p.Family, p.mood = "advice", w[2]
	case w[0] == "sort":
		p.Family, p.numbers = "sort", w[1:n-1]
	case strings.HasPrefix(text, "which is not"):
		p.Family, p.kind = "odd", w[4]
		for _, x := range w[6 : n-1] {
			if e := entities[x]; e != nil && e.Kind != p.kind {
				p.entity = x
			}
		}
	case strings.HasPrefix(text, "i need to"):
		p.Family = "need"
		for _, t := range ofKind("tool") {
			if entities[t].Facts["use"] == w[3] {
				p.entity = t
			}
		}
	default:
		return p, bad
	}
	for _, e := range []string{p.entity, p.other} {
		if e != "" && entities[e] == nil {
			return p, bad
		}
	}
	needsEntity := p.Family != "list" && p.Family != "advice" && p.Family != "sort"
	if needsEntity && p.entity == "" || (p.Family == "attr" || p.Family == "yesno") && p.relation == "" {
		return p, bad
	}
	return p, nil
}
