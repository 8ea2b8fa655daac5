package server

import (
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// outgrown is why a cell was stopped that took more memory than there is.
type outgrown struct{ held, limit uint64 }

func (e outgrown) Error() string {
	const gib = 1 << 30
	return fmt.Sprintf("out of memory: the kernel holds %.1f of %.1f GiB; the cell was stopped and all variables are kept: set the large ones to nil, or reset() all (BAYESRM_MEMORY sets the limit)",
		float64(e.held)/gib, float64(e.limit)/gib)
}

// memoryLimit is what BAYESRM_MEMORY says, in bytes or like 8GiB, or four fifths of what the system or the container has; 0 is no limit.
func memoryLimit() uint64 {
	said := strings.TrimSpace(os.Getenv("BAYESRM_MEMORY"))
	if said == "off" {
		return 0
	}
	unit := uint64(1)
	for suffix, u := range map[string]uint64{"MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(said, suffix); ok {
			said, unit = strings.TrimSpace(n), u
		}
	}
	if n, err := strconv.ParseUint(said, 10, 64); err == nil {
		return n * unit
	}
	has, err := memlimit.FromCgroup()
	if system, e := memlimit.FromSystem(); e == nil && (err != nil || system < has) {
		has, err = system, nil
	}
	if err != nil {
		return 0
	}
	return has / 5 * 4
}

// watchMemory stops the running cell when the process outgrows the limit; the collector works harder before.
func (s *Server) watchMemory() {
	limit := memoryLimit()
	if limit == 0 {
		return
	}
	debug.SetMemoryLimit(int64(limit / 10 * 9))
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	held := func() uint64 {
		metrics.Read(samples)
		return samples[0].Value.Uint64() - samples[1].Value.Uint64()
	}
	for {
		time.Sleep(50 * time.Millisecond)
		if held() <= limit {
			continue
		}
		debug.FreeOSMemory() // a busy machine may only be late with the garbage
		if h := held(); h > limit {
			s.current.cancel(outgrown{h, limit})
		}
	}
}
