package e2e

import (
	"os/exec"
	"syscall"
)

// dieWithUs lets a process end with the tests, however they end.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
