// Package world is the controlled world: a simulation, small enough for two cores, of tasks, answers of mixed quality and
// an exact gold reward that we designed. Reward over-optimisation arises in it because a proxy sees few, noisy pairs.
//
// Ten families of prompts ask about a small knowledge base of animals, foods and tools. Gold parses an answer clause by
// clause and adds up what is right, false, off topic, repeated, courteous or too long (the weights called w4).
package world

import (
	_ "embed"
	"encoding/json"

	"gobayes/bayesrm/tokenizer"
)

//go:embed kb.json
var kbJSON []byte

// relation is something that an entity of one kind has: a colour, a home.
type relation struct {
	Name       string
	Predicate  string // what stands before the value: "lives in the"
	Values     []string
	Importance float64 // what a true statement of it is worth
}

type entity struct {
	Name  string
	Kind  string
	Facts map[string]string // relation → value
	Steps []string          // for foods
}

// kb is the knowledge base.
var kb = func() (k struct {
	Vocabulary []string
	Numbers    []string
	Sizes      []string
	Steps      []string
	Moods      map[string][]string
	Relations  map[string][]relation
	Entities   []entity
}) {
	if err := json.Unmarshal(kbJSON, &k); err != nil {
		panic("world: kb.json: " + err.Error())
	}
	return k
}()

var (
	entities = func() map[string]*entity {
		m := map[string]*entity{}
		for i := range kb.Entities {
			m[kb.Entities[i].Name] = &kb.Entities[i]
		}
		return m
	}()
	kinds = []string{"animal", "food", "tool"}
	moods = []string{"tired", "sad", "bored", "angry", "hungry", "cold", "sick"}
)

func ofKind(kind string) []string {
	var ns []string
	for _, e := range kb.Entities {
		if e.Kind == kind {
			ns = append(ns, e.Name)
		}
	}
	return ns
}

func index(xs []string, x string) int {
	for i, v := range xs {
		if v == x {
			return i
		}
	}
	return -1
}

func relationOf(kind, name string) *relation {
	for i := range kb.Relations[kind] {
		if kb.Relations[kind][i].Name == name {
			return &kb.Relations[kind][i]
		}
	}
	return nil
}

// Tokenizer returns the world's words: 4 specials and every word that prompts and answers use.
func Tokenizer() *tokenizer.Words { return tokenizer.NewWords(kb.Vocabulary) }
