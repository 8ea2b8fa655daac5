package server

import (
	"testing"
	"time"

	"gobayes/kernel/internal/wire"
)

// TestSentBefore: which requests a failed cell, whose reply was sent at t, aborts.
func TestSentBefore(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 123456789, time.UTC)
	for _, tt := range []struct {
		name string
		came time.Duration // after the reply
		date string
		want bool
	}{
		{"in the queue", -time.Second, "", true},
		{"in the queue, of a clock that is ahead", -time.Second, "2026-11-26T13:00:00.000000Z", true},
		{"under way", time.Millisecond, "2026-11-26T12:00:00.123000Z", true},
		{"an answer to the reply", time.Millisecond, "2026-11-26T12:00:00.123900Z", false},
		{"an answer, in whole milliseconds", time.Millisecond, "2026-11-26T12:00:00.123Z", false},
		{"under way, in whole milliseconds", time.Millisecond, "2026-11-26T12:00:00.121Z", true},
		{"later, of a clock that is behind", time.Second, "2026-11-26T11:00:00.000000Z", false},
		{"no date", time.Millisecond, "", false},
	} {
		r := request{m: &wire.Message{Header: wire.Header{Date: tt.date}}, at: at.Add(tt.came)}
		if got := r.sentBefore(at); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if (request{m: &wire.Message{}, at: at}).sentBefore(time.Time{}) {
		t.Error("aborted though nothing has failed")
	}
}
