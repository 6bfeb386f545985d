package link

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// device is the name of the TUN device in each namespace.
const device = "eth0"

// queueLength is how many packets wait in a device until this process takes
// them: at 20,000 a second, half a second of a busy machine.
const queueLength = 10_000

// namespace is a network namespace with a TUN device, the link's end.
type namespace struct {
	file *os.File // the namespace itself
	name string   // as /proc calls it: net:[4026532000]
	tun  int      // the device's descriptor, not blocking
}

// available answers what is missing on this machine as far as can be told
// without trying.
func available() error {
	for _, program := range []struct{ name, in string }{{"ip", "iproute2"}, {"nsenter", "util-linux"}} {
		if _, err := exec.LookPath(program.name); err != nil {
			return fmt.Errorf("%w: there is no program %s, which is in the package %s", ErrUnavailable, program.name, program.in)
		}
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return fmt.Errorf("%w: the kernel has no IPv6", ErrUnavailable)
	}
	return nil
}

// newNamespace makes the namespace of a side with its device.
func newNamespace(side Side, mtu int) (*namespace, error) {
	n := &namespace{tun: -1}
	if err := n.make(side, mtu); err != nil {
		return nil, errors.Join(fmt.Errorf("link: make the %v's namespace: %w", side, err), n.close())
	}
	return n, nil
}

func (n *namespace) make(side Side, mtu int) error {
	create := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("%w: no network namespace: %w", ErrUnavailable, err)
		}
		return nil
	}
	err := onThread(create, func() (err error) {
		if n.file, err = os.Open(threadNamespace); err != nil {
			return err
		}
		if n.name, err = os.Readlink(threadNamespace); err != nil {
			return err
		}
		n.tun, err = openTUN()
		return err
	})
	if err != nil {
		return err
	}
	return n.configure(side, mtu)
}

// openTUN makes the device, in the namespace of the calling thread.
func openTUN() (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("%w: /dev/net/tun: %w", ErrUnavailable, err)
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("%w: no TUN device: %w", ErrUnavailable, err)
	}
	return fd, nil
}

// configure gives the device its addresses and routes.
func (n *namespace) configure(side Side, mtu int) error {
	cmd := exec.Command("ip", "-batch", "-")
	n.enter(cmd)
	// Without an address of its own making the device is silent. Without nodad the
	// IPv6 address cannot be used for a while.
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`link set dev lo up
link set dev %[1]s addrgenmode none
link set dev %[1]s mtu %[2]d txqueuelen %[3]d up
addr add %[4]v/24 dev %[1]s
addr add %[5]v/64 dev %[1]s nodad
route add default dev %[1]s
route add ::/0 dev %[1]s
`, device, mtu, queueLength, side.IP4(), side.IP6()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// read answers a file of /proc/net as it is in the namespace.
func (n *namespace) read(name string) (text string, err error) {
	err = n.do(func() error {
		bytes, err := os.ReadFile("/proc/thread-self/net/" + name)
		text = string(bytes)
		return err
	})
	return text, err
}

// enter has a command run in the namespace. nsenter becomes the program without
// another process between, so that its id and its end are the program's.
func (n *namespace) enter(cmd *exec.Cmd) {
	if cmd.Err != nil {
		return // Start says so
	}
	program, err := exec.LookPath("nsenter")
	if err != nil {
		cmd.Err = err
		return
	}
	space := fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), n.file.Fd())
	args := []string{program, space, "--", cmd.Path}
	if len(cmd.Args) > 1 {
		args = append(args, cmd.Args[1:]...)
	}
	cmd.Path, cmd.Args = program, args
}

// do calls f on a thread that is in the namespace.
func (n *namespace) do(f func() error) error {
	enter := func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("link: enter a namespace: %w", err)
		}
		return nil
	}
	return onThread(enter, f)
}

// threadNamespace is the namespace of the thread that looks.
const threadNamespace = "/proc/thread-self/ns/net"

// onThread calls move, which changes the thread's network namespace unless it
// fails, then f on the same thread, and brings the thread back.
func onThread(move, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(threadNamespace)
	if err != nil {
		return fmt.Errorf("link: open the thread's namespace: %w", err)
	}
	defer home.Close()
	if err := move(); err != nil {
		return err
	}
	defer func() {
		// What may go may come back; no goroutine must ever run astray.
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("link: a thread cannot leave a namespace: %v", err))
		}
	}()
	return f()
}

// killWait is how long killed processes may take to end.
const killWait = 10 * time.Second

// kill ends all processes in the namespace and waits until none is left.
func (n *namespace) kill() error {
	for end := time.Now().Add(killWait); ; time.Sleep(2 * time.Millisecond) {
		pids, err := n.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("link: processes %v do not end", pids)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it may be gone
		}
	}
}

// processes answers the ids of those in the namespace.
func (n *namespace) processes() ([]int, error) {
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, link := range links {
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil || pid == os.Getpid() { // whose threads may be there, but not for long
			continue
		}
		if name, err := os.Readlink(link); err == nil && name == n.name {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// close lets go of the namespace and its device, which end with that.
func (n *namespace) close() error {
	var failed []error
	if n.tun >= 0 {
		failed = append(failed, unix.Close(n.tun))
	}
	if n.file != nil {
		failed = append(failed, n.file.Close())
	}
	return errors.Join(failed...)
}

// missed answers how many packets the device dropped because its queue was full.
func (n *namespace) missed() (dropped uint64) {
	devices, _ := n.read("dev") // when it is closed there is none
	for line := range strings.Lines(devices) {
		// "eth0:", 8 columns of what was received, then sent bytes, packets, errors,
		// drops.
		if f := strings.Fields(line); len(f) > 12 && f[0] == device+":" {
			dropped, _ = strconv.ParseUint(f[12], 10, 64)
		}
	}
	return dropped
}
