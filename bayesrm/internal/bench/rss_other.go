//go:build !unix

package main

func peakRSS() float64 { return 0 }
