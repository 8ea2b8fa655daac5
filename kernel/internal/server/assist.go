package server

import (
	"encoding/json"

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
	d, found := s.assistant.Inspect(c.Code, c.CursorPos, nil)
	if found {
		data[mime.Text], data[mime.Markdown] = d.Text, d.Markdown
	}
	return map[string]any{"found": found, "data": data, "metadata": map[string]any{}}
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
		es = s.history.Range(c.Start, c.Stop)
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
