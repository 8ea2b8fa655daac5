package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMatrix: what Go allows in many combinations prints what the compiler makes of it. A file of testdata/matrix is a world, lists
// whose heads name their columns, and statements, which are run with each row of each list in the place of $column.
func TestMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("47,000 statements")
	}
	files, err := filepath.Glob("testdata/matrix/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no matrices: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			program := matrix(t, file)
			want := strings.Split(goRun(t, program), "\n")
			nb := newNotebook()
			if _, err := nb.run(program+"\nmain()", 5*time.Minute); err != nil {
				t.Fatal(err)
			}
			got := strings.Split(nb.h.out.String(), "\n")
			if len(want) != len(got) {
				t.Errorf("%d lines, the compiler's %d", len(got), len(want))
			}
			for i := range min(len(want), len(got)) {
				if got[i] != want[i] {
					t.Errorf("printed  %s\ncompiled %s", got[i], want[i])
				}
			}
		})
	}
}

// matrix is the program that runs the statements of a file.
func matrix(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var world string
	var stmts []string
	var lists [][]*strings.Replacer
	for _, section := range strings.Split(string(text), "=== ")[1:] {
		head, body, _ := strings.Cut(strings.TrimSpace(section), "\n")
		switch head {
		case "world":
			world = body + "\n"
		case "statements":
			stmts = strings.Split(body, "\n")
		default:
			var rows []*strings.Replacer
			for _, row := range strings.Split(body, "\n") {
				var pairs []string
				for i, cell := range strings.Split(row, "\t") {
					pairs = append(pairs, "$"+strings.Fields(head)[i], cell)
				}
				rows = append(rows, strings.NewReplacer(pairs...))
			}
			lists = append(lists, rows)
		}
	}
	for i := len(lists) - 1; i >= 0; i-- { // a cell may name columns of the lists before
		var all []string
		for _, stmt := range stmts {
			for _, row := range lists[i] {
				all = append(all, row.Replace(stmt))
			}
		}
		stmts = all
	}
	var program, main strings.Builder
	program.WriteString(world)
	n := 0
	for some := range slices.Chunk(stmts, 400) { // a function each
		fmt.Fprintf(&program, "func part%d() {\n", n)
		for _, stmt := range some {
			fmt.Fprintf(&program, "\trun(%q, func() { %s })\n", stmt, stmt)
		}
		program.WriteString("}\n")
		fmt.Fprintf(&main, "\tpart%d()\n", n)
		n++
	}
	return program.String() + "func main() {\n" + main.String() + "}\n"
}
