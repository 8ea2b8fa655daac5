package server

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gobayes/kernel/internal/assist"
	"gobayes/kernel/internal/cell"
	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/wire"
)

type assistContent struct {
	Code      string `json:"code"`
	CursorPos int    `json:"cursor_pos"`

	Output  bool   `json:"output"`
	Access  string `json:"hist_access_type"`
	Session int    `json:"session"`
	Start   int    `json:"start"`
	Stop    int    `json:"stop"`
	N       int    `json:"n"`
	Pattern string `json:"pattern"`
	Unique  bool   `json:"unique"`
}

// assist answers the requests that a front end makes while the user types.
func (s *Server) assist(m *wire.Message) map[string]any {
	var c assistContent
	if err := json.Unmarshal(m.Content, &c); err != nil {
		return map[string]any{"status": "error", "ename": "ProtocolError", "evalue": err.Error(), "traceback": []string{}}
	}
	switch m.Header.MsgType {
	case "is_complete_request":
		status, indent := cell.Status(c.Code)
		return map[string]any{"status": status, "indent": indent}
	case "history_request":
		return map[string]any{"history": s.historyItems(c)}
	}
	s.assistMu.Lock()
	defer s.assistMu.Unlock()
	if m.Header.MsgType == "complete_request" {
		return completeReply(s.assistant.Complete(c.Code, c.CursorPos))
	}
	data := map[string]any{}
	d, found := s.assistant.Inspect(c.Code, c.CursorPos, s.value)
	if found {
		data[mime.Text], data[mime.Markdown] = d.Text, d.Markdown
	}
	return map[string]any{"found": found, "data": data, "metadata": map[string]any{}}
}

// valueLimit is how long an inspection waits for the text of a value; maxLines, how much of it is shown.
const (
	valueLimit = 300 * time.Millisecond
	maxLines   = 12
)

// value is the text of a variable as a cell would show it. ok is false while a cell runs.
func (s *Server) value(name string) (text string, ok bool) {
	if !s.running.TryLock() {
		return "", false
	}
	defer s.running.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), valueLimit)
	defer cancel()
	shown, rep := s.evaluate(ctx, &cellRun{}, name)
	if rep != nil || len(shown) == 0 {
		return "", false
	}
	text, _ = mime.Of(shown)[mime.Text].(string)
	if lines := strings.Split(text, "\n"); len(lines) > maxLines {
		text = strings.Join(lines[:maxLines], "\n") + fmt.Sprintf("\n… %d lines more", len(lines)-maxLines)
	}
	if n, ok := length(shown[0].Value); ok {
		text = fmt.Sprintf("len %d\n%s", n, text)
	}
	return text, true
}

// length is how many elements a slice, map or channel has.
func length(v any) (int, bool) {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Slice, reflect.Map, reflect.Chan:
		return r.Len(), true
	}
	return 0, false
}

// completeReply says what can stand from start to end: the names alone, and with their kinds, as IPython's kernel does.
func completeReply(cs []assist.Completion, start, end int) map[string]any {
	matches, kinds := []string{}, []any{}
	for _, c := range cs {
		matches = append(matches, c.Text)
		kinds = append(kinds, map[string]any{"start": start, "end": end, "text": c.Text, "type": c.Kind, "signature": c.Signature, "documentation": c.Doc})
	}
	return map[string]any{"matches": matches, "cursor_start": start, "cursor_end": end, "metadata": map[string]any{"_jupyter_types_experimental": kinds}}
}

func (s *Server) historyItems(c assistContent) []any {
	var es []assist.Entry
	switch c.Access {
	case "range":
		es = s.history.Range(c.Session, c.Start, c.Stop)
	case "search":
		es = s.history.Search(c.Pattern, c.N, c.Unique)
	default:
		es = s.history.Tail(c.N)
	}
	items := []any{}
	for _, e := range es {
		if c.Output {
			items = append(items, []any{e.Session, e.Line, []any{e.Input, e.Output}})
		} else {
			items = append(items, []any{e.Session, e.Line, e.Input})
		}
	}
	return items
}
