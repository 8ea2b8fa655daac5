//go:build unix

package prelude

import (
	"os/exec"
	"syscall"
)

// inGroup makes a cancel end the command with everything that it has started.
func inGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
