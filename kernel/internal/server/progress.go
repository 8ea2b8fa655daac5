package server

import (
	"context"
	"fmt"
	"html"
	"sync"
	"time"

	"gobayes/bayesrm/progress"
	"gobayes/kernel/internal/mime"
	"gobayes/kernel/internal/rt"
)

// every is how often a bar is redrawn.
const every = 100 * time.Millisecond

// withProgress returns the context of a cell: what compiled code reports becomes a bar that is updated in place. done takes the bars
// away: a saved notebook holds none.
func (s *Server) withProgress(ctx context.Context, cell int) (with context.Context, done func()) {
	h := &host{s}
	var mu sync.Mutex
	bars := map[string]bool{}
	publish := func(id string, data map[string]any) {
		h.Publish(cell, rt.Display{ID: id, Update: true, Metadata: map[string]any{"bayesrm": map[string]any{"progress": true}}, Data: data})
	}
	meter := progress.NewMeter(every, func(b progress.Bar) {
		text := b.String()
		bar := ""
		if b.Total > 0 {
			bar = fmt.Sprintf(`<progress value="%d" max="%d" style="width:20em"></progress> `, b.Done, b.Total)
		}
		id := fmt.Sprintf("progress-%d-%s", cell, b.Task)
		mu.Lock()
		bars[id] = true
		mu.Unlock()
		publish(id, map[string]any{mime.HTML: bar + html.EscapeString(text), mime.Text: text})
	})
	return progress.WithReporter(ctx, meter.Report), func() {
		mu.Lock()
		defer mu.Unlock()
		for id := range bars {
			publish(id, map[string]any{mime.HTML: "", mime.Text: ""})
		}
	}
}
