package session

import (
	"context"
	"errors"
	"fmt"
	"go/scanner"
	"strings"

	"gobayes/kernel/internal/check"
	"gobayes/kernel/internal/engine"
	"gobayes/kernel/internal/rt"
)

// Report is an error in the form that Jupyter shows.
type Report struct {
	Name      string   // CompileError, Panic, Error, Interrupt or Exit
	Value     string   // one line
	Traceback []string // text with ANSI colours
}

const (
	red   = "\x1b[31m"
	bold  = "\x1b[1m"
	plain = "\x1b[0m"
)

// maxErrors is how many compile errors of a cell are shown.
const maxErrors = 10

// Report describes an error of Prepare or Run.
func (s *Session) Report(err error) Report {
	var (
		compile check.Errors
		syntax  scanner.ErrorList
		pan     *engine.Panic
		stop    rt.Stop
		exit    rt.Exit
	)
	switch {
	case errors.As(err, &compile):
		if strings.HasPrefix(compile[0].Msg, "undefined: ") { // !ls -l is an expression
			compile = s.plainGo(compile)
		}
		return s.compileReport(compile)
	case errors.As(err, &syntax):
		var es check.Errors
		for _, e := range syntax {
			es = append(es, check.Error{Cell: s.lastCell(), Line: e.Pos.Line, Column: e.Pos.Column, Msg: "syntax error: " + e.Msg})
		}
		return s.compileReport(s.plainGo(es))
	case errors.As(err, &pan):
		if e, ok := pan.Value.(error); ok && errors.As(e, &stop) {
			r := Report{Name: "Error", Value: firstLine(stop.Err.Error())}
			r.Traceback = append([]string{red + "Error" + plain + ": " + stop.Err.Error()}, s.frames(pan.Frames)...)
			return r
		}
		if e, ok := pan.Value.(error); ok && errors.As(e, &exit) {
			v := fmt.Sprintf("os.Exit(%d): a cell cannot end the kernel; the session goes on", exit.Code)
			return Report{Name: "Exit", Value: v, Traceback: []string{red + "Exit" + plain + ": " + v}}
		}
		if _, ok := pan.Value.(rt.Interrupted); ok {
			return Interrupted()
		}
		text := fmt.Sprint(pan.Value)
		r := Report{Name: "Panic", Value: firstLine(text)}
		r.Traceback = append([]string{red + "panic" + plain + ": " + text}, s.frames(pan.Frames)...)
		return r
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Interrupted()
	}
	return Report{Name: "Error", Value: firstLine(err.Error()), Traceback: []string{red + "Error" + plain + ": " + err.Error()}}
}

// plainGo leaves of the errors the first one, with a hint, if its line begins as what other kernels take for a command to
// themselves.
func (s *Session) plainGo(es check.Errors) check.Errors {
	line := strings.TrimSpace(s.line(es[0].Cell, es[0].Line))
	question := strings.HasSuffix(line, "?") && !strings.ContainsAny(line, " \t")
	if line == "" || !strings.ContainsRune("%!:$?", rune(line[0])) && !question {
		return es
	}
	es[0].Hint = "cells are plain Go, without magics; help(), shell(\"ls\"), timeit(f), who() and reset() are functions"
	return es[:1]
}

// Interrupted is the report of a cell that the user stopped.
func Interrupted() Report {
	return Report{Name: "Interrupt", Value: "stopped by the user; all variables are kept", Traceback: []string{red + "Interrupt" + plain + ": stopped by the user; all variables are kept"}}
}

func firstLine(s string) string {
	l, _, _ := strings.Cut(s, "\n")
	return l
}

func (s *Session) compileReport(es check.Errors) Report {
	e := es[0]
	r := Report{Name: "CompileError", Value: fmt.Sprintf("%s:%d:%d: %s", s.Label(e.Cell), e.Line, e.Column, e.Msg)}
	for i, e := range es {
		if i == maxErrors {
			r.Traceback = append(r.Traceback, fmt.Sprintf("and %d more errors", len(es)-i))
			break
		}
		text := fmt.Sprintf("%s%s:%d:%d%s: %s%s%s", bold, s.Label(e.Cell), e.Line, e.Column, plain, red, e.Msg, plain)
		if src := s.line(e.Cell, e.Line); src != "" {
			shown, mark := pointAt(src, e.Column)
			text += "\n    " + shown + "\n    " + mark
		}
		if e.Hint != "" {
			text += "\n    " + e.Hint
		}
		r.Traceback = append(r.Traceback, text)
	}
	return r
}

// shownWidth is how much of a line is shown, in characters.
const shownWidth = 160

// pointAt returns what is shown of a line, around a byte column, and a caret under that column.
func pointAt(line string, column int) (shown, mark string) {
	before := []rune(line[:min(max(column-1, 0), len(line))])
	rs, at := []rune(strings.ReplaceAll(line, "\t", " ")), len(before)
	if from := at - shownWidth/2; len(rs) > shownWidth && from > 0 {
		rs, at = append([]rune("… "), rs[from:]...), at-from+2
	}
	if len(rs) > shownWidth {
		rs = append(rs[:shownWidth], []rune(" …")...)
	}
	return string(rs), strings.Repeat(" ", at) + red + "^" + plain
}

// frames lists what a panic passed, innermost first; what repeats, as in a recursion, stands once.
func (s *Session) frames(fs []engine.Frame) []string {
	var out []string
	times := 1
	for i, f := range fs {
		if i+1 < len(fs) && fs[i+1] == f {
			times++
			continue
		}
		at := bold + fmt.Sprintf("%s:%d", s.Label(f.Cell), f.Line) + plain
		var text string
		if f.Func != "" {
			text = fmt.Sprintf("  in %s, which begins at %s", s.declaredName(f.Func), at)
		} else if text = "  at " + at; s.line(f.Cell, f.Line) != "" {
			text += "\n    " + strings.TrimSpace(s.line(f.Cell, f.Line))
		}
		if times > 1 {
			text += fmt.Sprintf(" (%d times)", times)
		}
		out = append(out, text)
		times = 1
	}
	return out
}

// declaredName is the name in the cell of a lowered function: T.M for the method T_M.
func (s *Session) declaredName(lowered string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.decls {
		if strings.Replace(name, ".", "_", 1) == lowered {
			return name
		}
	}
	return lowered
}

// line returns a line of a cell's text.
func (s *Session) line(cell string, n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(s.texts[cell], "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

func (s *Session) lastCell() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// SetLabel gives the cell that Prepare numbered n the name that users see in errors: "cell 3".
func (s *Session) SetLabel(n int, label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.labels[n] = label
}
