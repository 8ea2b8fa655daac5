package progress

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func ExampleReport() {
	ctx := WithReporter(context.Background(), func(e Event) { fmt.Printf("%s %d/%d\n", e.Task, e.Done, e.Total) })
	for i := range 2 {
		Report(ctx, Event{Task: "count", Done: i + 1, Total: 2})
	}
	// Output:
	// count 1/2
	// count 2/2
}

// TestMeter: many events make few bars, and the last one is always drawn.
func TestMeter(t *testing.T) {
	var bars []Bar
	m := NewMeter(time.Hour, func(b Bar) { bars = append(bars, b) })
	for i := range 1000 {
		m.Report(Event{Task: "a", Done: i + 1, Total: 1000})
	}
	m.Report(Event{Task: "b", Done: 1})
	if len(bars) != 3 || bars[1].Done != 1000 || bars[2].Task != "b" {
		t.Errorf("%d bars: %v", len(bars), bars)
	}
	Report(context.Background(), Event{}) // nobody listens
}
