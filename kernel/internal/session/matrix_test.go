package session

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMatrix: every kind of expression in every kind of place where a value can go prints what the compiler makes of it.
// testdata/matrix holds the expressions by type, the places, and what both know.
func TestMatrix(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command to compile the programs")
	}
	if testing.Short() {
		t.Skip("24,000 statements")
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", "matrix", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	world, places := read("world.go"), strings.Split(strings.TrimSpace(read("places.txt")), "\n")
	for _, in := range []string{"itself", "any"} {
		t.Run(in, func(t *testing.T) {
			var stmts, globals []string
			for _, section := range strings.Split("\n"+read("values.txt"), "\n# ")[1:] {
				typ, values, _ := strings.Cut(strings.TrimSpace(section), "\n")
				if in == "any" {
					if typ == "error" || typ == "fmt.Stringer" { // interfaces already
						continue
					}
					typ = "any"
				}
				global := fmt.Sprint("global", len(globals))
				globals = append(globals, fmt.Sprintf("var %s %s\n", global, typ))
				for _, value := range strings.Split(values, "\n") {
					for _, place := range places {
						stmt := strings.NewReplacer("$T", typ, "$E", value, "$I", global).Replace(place)
						stmts = append(stmts, fmt.Sprintf("\trun(%q, func() { %s })\n", stmt, stmt))
					}
				}
			}
			var program, main strings.Builder
			program.WriteString(world + strings.Join(globals, ""))
			for n := 0; len(stmts) > 0; n++ {
				some := min(400, len(stmts))
				fmt.Fprintf(&program, "func part%d() {\n%s}\n", n, strings.Join(stmts[:some], ""))
				fmt.Fprintf(&main, "\tpart%d()\n", n)
				stmts = stmts[some:]
			}
			fmt.Fprintf(&program, "func main() {\n%s}\n", main.String())
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(program.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := exec.Command("go", "run", file).CombinedOutput()
			if err != nil {
				t.Fatalf("it does not compile: %v\n%.2000s", err, b)
			}
			nb := newNotebook()
			if _, err := nb.run(program.String()+"\nmain()", 5*time.Minute); err != nil {
				t.Fatal(err)
			}
			want, got := strings.Split(string(b), "\n"), strings.Split(nb.h.out.String(), "\n")
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
