// Command results writes the tables of results from the records that the notebooks left:
//
//	go run ./bayesrm/internal/results          # rewrites the tables
//	go run ./bayesrm/internal/results -check   # fails if a table is not what the records say
//
// The tables stand in README.md (each claim at the largest n) and notebooks/README.md (every contrast), between two marks.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"

	"gobayes/bayesrm/safetensors"
	"gobayes/bayesrm/study"
)

const from, to = "<!-- results: written by go run ./bayesrm/internal/results -->", "<!-- end of results -->"

func main() {
	log.SetFlags(0)
	check := flag.Bool("check", false, "only compare")
	flag.Parse()
	rs, err := study.ReadRecords("notebooks/results")
	if err != nil {
		log.Fatal(err)
	}
	for file, table := range map[string]string{"README.md": brief(rs), "notebooks/README.md": full(rs)} {
		b, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		text, err := replace(string(b), table)
		if err != nil {
			log.Fatalf("%s: %v", file, err)
		}
		switch {
		case text == string(b):
		case *check:
			log.Fatalf("%s: its table is not what notebooks/results says; run go run ./bayesrm/internal/results", file)
		default:
			if err := safetensors.WriteFile(file, []byte(text)); err != nil {
				log.Fatal(err)
			}
		}
	}
}

// replace puts the table between the marks.
func replace(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		return "", fmt.Errorf("the marks %q and %q are missing", from, to)
	}
	return before + from + "\n" + table + to + after, nil
}

// brief has a line for each contrast that speaks to a claim, at the largest n of its record.
func brief(rs []study.Record) string {
	var b strings.Builder
	b.WriteString("| claim | set-up | contrast, at n | effect on gold (95 %) | notebook |\n|---|---|---|---|---|\n")
	for _, claim := range study.Claims {
		for _, r := range rs {
			last := map[string]int{}
			for _, c := range r.Contrasts {
				if c.Claim == claim {
					last[c.What] = max(last[c.What], c.N)
				}
			}
			for _, c := range r.Contrasts {
				if c.Claim == claim && c.N == last[c.What] {
					fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", claim, r.Setup, what(c), effect(c), r.Notebook)
				}
			}
		}
	}
	return b.String()
}

// full has every contrast of every record.
func full(rs []study.Record) string {
	var b strings.Builder
	for _, r := range rs {
		fmt.Fprintf(&b, "\n**%s**: %s. `%s` (%.0f s; %s)\n\n| contrast | n | effect on gold (95 %%) | claim |\n|---|---|---|---|\n", r.Notebook, r.Setup, r.Command, r.Seconds, r.Machine)
		for _, c := range r.Contrasts {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.What, count(c), effect(c), c.Claim)
		}
	}
	return b.String()
}

func count(c study.Contrast) string {
	if c.N == 0 {
		return ""
	}
	return fmt.Sprint(c.N)
}

func what(c study.Contrast) string {
	if c.N == 0 {
		return c.What
	}
	return fmt.Sprintf("%s, n = %d", c.What, c.N)
}

func effect(c study.Contrast) string {
	return strings.ReplaceAll(fmt.Sprintf("%+.2f [%+.2f, %+.2f]", c.Effect.Mean, c.Effect.Lo, c.Effect.Hi), "-", "−")
}
