package world

import (
	"math/rand/v2"
	"sort"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"
)

// maxAnswer is the longest answer in tokens, the end token included.
const maxAnswer = 48

// Demonstration writes an answer of random quality q ~ Beta(2, 1.3): q sets how often it is true, complete and tidy. It
// ends with <eos>.
func Demonstration(rng *rand.Rand, p Prompt) string {
	d := demo{rng: rng, p: p, q: distuv.Beta{Alpha: 2, Beta: 1.3, Src: rng}.Rand(), first: true}
	if d.chance(.25 + .3*d.q) {
		d.say("sure ,")
	}
	d.answer()
	w := strings.Fields(strings.Join(d.out, " "))
	if d.chance(.3) {
		w = append(w, "hope", "this", "helps", ".")
	}
	if d.chance(.10*(1-d.q)) && len(w) > 3 { // a word is dropped
		i := rng.IntN(len(w))
		w = append(w[:i:i], w[i+1:]...)
	}
	if d.chance(.15 * (1 - d.q)) { // a stutter
		i := rng.IntN(len(w))
		again := append([]string{}, w[max(0, i-4):i]...)
		w = append(w[:i:i], append(again, w[i:]...)...)
	}
	return strings.Join(append(w[:min(len(w), maxAnswer-1)], "<eos>"), " ")
}

type demo struct {
	rng   *rand.Rand
	p     Prompt
	q     float64
	out   []string
	first bool // nothing has been said about anything yet
}

func (d *demo) chance(p float64) bool { return d.rng.Float64() < p }

func (d *demo) say(s string) { d.out = append(d.out, s) }

func (d *demo) poisson(mean float64) int { return int(distuv.Poisson{Lambda: mean, Src: d.rng}.Rand()) }

// put states a relation of x, true with the given probability (negative: the quality's).
func (d *demo) put(x, rel string, truth float64) {
	e := entities[x]
	if rel == "" {
		rel = pick(d.rng, kb.Relations[e.Kind]).Name
	}
	if truth < 0 {
		truth = .5 + .48*d.q
	}
	r := relationOf(e.Kind, rel)
	v := e.Facts[rel]
	if !d.chance(truth) {
		v = pick(d.rng, r.Values)
	}
	subject := "the " + x
	if !d.first && d.chance(.7) {
		subject = "it"
	}
	d.first = false
	d.say(subject + " " + r.Predicate + " " + v + " .")
}

// extra adds n facts about x.
func (d *demo) extra(n int, x string) {
	names := kb.Relations[entities[x].Kind]
	var rels []int
	for range n {
		rels = append(rels, d.rng.IntN(len(names)))
	}
	if d.chance(d.q) {
		rels = distinct(rels)
	}
	if d.chance(.5 * d.q) {
		sort.Ints(rels)
	}
	for _, r := range rels {
		if d.chance(.12 * (1 - d.q)) {
			d.put(pick(d.rng, kb.Entities).Name, "", -1)
		} else {
			d.put(x, names[r].Name, -1)
		}
	}
}

func distinct[T comparable](xs []T) []T {
	seen := map[T]bool{}
	var out []T
	for _, x := range xs {
		if !seen[x] {
			seen[x] = true
			out = append(out, x)
		}
	}
	return out
}

func (d *demo) answer() {
	p, q, rng := d.p, d.q, d.rng
	switch p.Family {
	case "describe":
		d.extra(1+d.poisson(1.5+1.5*q), p.entity)
	case "attr":
		d.put(p.entity, p.relation, .4+.55*q)
		d.extra(d.poisson(1), p.entity)
	case "yesno":
		t := entities[p.entity].Facts[p.relation] == p.value
		if !d.chance(.55 + .4*q) {
			t = !t
		}
		d.say(map[bool]string{true: "yes ,", false: "no ,"}[t])
		d.put(p.entity, p.relation, .4+.55*q)
		d.extra(d.poisson(.6), p.entity)
	case "bigger":
		size := func(e string) int { return index(kb.Sizes, entities[e].Facts["size"]) }
		big, small := p.entity, p.other
		if size(small) > size(big) {
			big, small = small, big
		}
		c := small
		if d.chance(.5 + .45*q) {
			c = big
		}
		d.say("the " + c + " is bigger .")
		for _, x := range []string{c, p.entity, p.other}[:1+rng.IntN(3)] {
			d.first = x != c
			rel := ""
			if d.chance(.6) {
				rel = "size"
			}
			d.put(x, rel, -1)
		}
	case "list":
		n := p.n
		if !d.chance(.3 + .5*q) {
			n = max(1, n+rng.IntN(6)-2)
		}
		var items []string
		for range n {
			if d.chance(.75 + .25*q) {
				items = append(items, pick(rng, ofKind(p.kind)))
			} else {
				items = append(items, pick(rng, kb.Entities).Name)
			}
		}
		if d.chance(.2 + .7*q) {
			items = distinct(items)
		}
		d.say(strings.Join(items, " , ") + " .")
	case "steps":
		var steps []string
		for _, s := range entities[p.entity].Steps {
			if d.chance(.5 + .5*q) {
				steps = append(steps, s)
			}
		}
		if !d.chance(.3 + .6*q) {
			steps = append(steps, pick(rng, kb.Steps))
		}
		if !d.chance(.3 + .6*q) {
			rng.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		}
		if len(steps) == 0 {
			steps = []string{pick(rng, kb.Steps)}
		}
		d.say("first " + strings.Join(steps, " , then ") + " .")
		d.extra(d.poisson(.4), p.entity)
	case "advice":
		var all []string
		for _, m := range moods {
			all = append(all, kb.Moods[m]...)
		}
		sort.Strings(all)
		all = distinct(all)
		var items []string
		for range 1 + d.poisson(1.2) {
			if d.chance(.4 + .6*q) {
				items = append(items, pick(rng, kb.Moods[p.mood]))
			} else {
				items = append(items, pick(rng, all))
			}
		}
		if d.chance(q) {
			items = distinct(items)
		}
		for _, x := range items {
			d.say("you could " + x + " .")
		}
	case "sort":
		var l []string
		for _, n := range kb.Numbers {
			if index(p.numbers, n) >= 0 {
				l = append(l, n)
			}
		}
		if !d.chance(.3 + .6*q) {
			i := rng.IntN(len(l) - 1)
			l[i], l[i+1] = l[i+1], l[i]
		}
		if !d.chance(.4 + .6*q) {
			i := rng.IntN(len(l))
			l = append(l[:i:i], append([]string{pick(rng, kb.Numbers)}, l[i:]...)...)
		}
		if !d.chance(.5 + .5*q) {
			i := rng.IntN(len(l))
			l = append(l[:i:i], l[i+1:]...)
		}
		d.say(strings.Join(l, " ") + " .")
	case "odd":
		c := p.entity
		if !d.chance(.4 + .55*q) {
			c = pick(rng, kb.Entities).Name
		}
		d.say("the " + c + " is not " + article(p.kind) + " " + p.kind + " .")
		d.first = false
		d.extra(d.poisson(.7), c)
	case "need":
		c := p.entity
		if !d.chance(.4 + .55*q) {
			c = pick(rng, ofKind("tool"))
		}
		d.say("use the " + c + " .")
		d.first = false
		d.extra(d.poisson(1), c)
	}
}
