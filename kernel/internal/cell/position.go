package cell

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Position is a comment that tells Go's scanner that what follows stands at line and column (in bytes) of the named file.
func Position(name string, line, column int) string {
	return fmt.Sprintf("/*line %s:%d:%d*/", name, line, column)
}

// Name is the file name that positions in the n-th cell carry.
func Name(n int) string { return namePrefix + strconv.Itoa(n) }

const namePrefix = "cell_"

// Number is the inverse of Name; 0 for a file that is no cell.
func Number(name string) int {
	s, ok := strings.CutPrefix(name, namePrefix)
	n, err := strconv.Atoi(s)
	if !ok || err != nil {
		return 0
	}
	return n
}

// Lines numbers the lines of a session's cells one after the other: the interpreter looks up imports by file name, so all lowered
// code must seem to stand in one file.
type Lines struct {
	mu    sync.Mutex
	names []string // of the cells, in the order of their lines
	first []int    // line of each
	at    map[string]int
	next  int
}

// beforeCells is the first line of a cell; the lines below are of code that is of no cell. Go's scanner takes lines up to 1<<30.
const beforeCells = 1 << 20

// NewLines returns a numbering without cells.
func NewLines() *Lines { return &Lines{at: map[string]int{}, next: beforeCells} }

// Add gives the cell of that name as many lines as its text has.
func (l *Lines) Add(name, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names, l.first = append(l.names, name), append(l.first, l.next)
	l.at[name] = l.next
	l.next += strings.Count(text, "\n") + 2 // lines count from 1
}

// Encode is the number of a line of a file.
func (l *Lines) Encode(name string, line int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, ok := l.at[name]; ok {
		return first + line
	}
	return min(line, beforeCells-1)
}

// Decode is the inverse of Encode; the name is empty for code that is of no cell.
func (l *Lines) Decode(number int) (name string, line int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, exact := slices.BinarySearch(l.first, number)
	if !exact {
		i--
	}
	if i < 0 {
		return "", number
	}
	return l.names[i], number - l.first[i]
}
