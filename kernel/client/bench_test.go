package client_test

import (
	"testing"

	"gobayes/kernel/internal/kerneltest"
)

// BenchmarkPipeline is a cell among many that are sent without waiting: what the kernel takes for one. A client in Python takes longer for
// its messages.
//
//	go test ./kernel/client -run NONE -bench Pipeline -benchtime 5000x
func BenchmarkPipeline(b *testing.B) {
	k := kerneltest.Start(b)
	kerneltest.Run(b, k, "1+1")
	b.ResetTimer()
	if err := k.Pipeline("1+1", b.N); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cells/s")
}
