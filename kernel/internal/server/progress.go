package server

import (
	"context"
	"fmt"
	"html"
	"time"

	"gobayes/bayesrm/progress"
	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/rt"
)

// every is how often a bar is redrawn.
const every = 100 * time.Millisecond

// withProgress returns the context of a cell: what compiled code reports becomes a bar that is updated in place.
func (s *Server) withProgress(ctx context.Context, cell int) context.Context {
	h := &host{s}
	return progress.WithReporter(ctx, progress.NewMeter(every, func(b progress.Bar) {
		text := b.String()
		bar := ""
		if b.Total > 0 {
			bar = fmt.Sprintf(`<progress value="%d" max="%d" style="width:20em"></progress> `, b.Done, b.Total)
		}
		h.Publish(cell, rt.Display{
			ID: fmt.Sprintf("progress-%d-%s", cell, b.Task), Update: true,
			Metadata: map[string]any{"bayesrm": map[string]any{"progress": true}},
			Data:     map[string]any{mime.HTML: bar + html.EscapeString(text), mime.Text: text},
		})
	}).Report)
}
