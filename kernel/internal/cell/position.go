package cell

import (
	"fmt"
	"strconv"
	"strings"
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

// lineBits is how many bits of an encoded line hold the line proper. Go's scanner takes lines up to 1<<30.
const lineBits = 15

// EncodeLine packs a position of a cell into a single line number: the interpreter looks up imports by file name, so all
// lowered code must seem to stand in one file.
func EncodeLine(name string, line int) int {
	return Number(name)<<lineBits | min(line, 1<<lineBits-1)
}

// DecodeLine is the inverse of EncodeLine; the name is empty for code that is of no cell.
func DecodeLine(code int) (name string, line int) {
	n, line := code>>lineBits, code&(1<<lineBits-1)
	if n == 0 {
		return "", line
	}
	return Name(n), line
}
