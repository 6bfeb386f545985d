// Package link is a bad link for programs that run for real: two network
// namespaces, one for clients and one for the server, and between them a link
// that delays, loses, reorders, doubles and throttles IP packets as a
// badlink.Pipe says, so that browsers, libwebrtc and a whole server can be tested
// on it. It needs no netem in the kernel: each namespace has a TUN device, and
// this process carries the packets from one to the other.
//
//	client 10.0.0.2 fd00::2 eth0 == Up ===> eth0 10.0.0.1 fd00::1 server
//	                             <= Down ==
//
// The devices are called eth0 since WebRTC implementations judge a network by
// its name; they are default routes, and loopback is up. What is not for the
// other side (multicast, the internet) is counted as stray and goes nowhere, so
// that the counts are those of the programs.
//
// It needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN with /dev/net/tun, and the
// programs ip (iproute2) and nsenter (util-linux); where they are missing New
// says so with ErrUnavailable. The namespaces have no name in the file system:
// they end with the last process and file that holds them, even if the test dies.
//
// A server under --dev listens on loopback alone, which is the namespace's own: a
// test of media over the link starts it with a key.
//
// A test has its programs in the namespaces by Command or Enter, its own sockets
// by Listen and DialContext, and the connections that are to be good by Relay,
// which goes around the link:
//
//	l, err := link.New(link.Config{Seed: 1, Up: badlink.Conditions{Loss: 0.1}})
//	if errors.Is(err, link.ErrUnavailable) {
//		t.Skip(err)
//	}
//	defer l.Close()
//	server := l.Command(link.Server, "bin/tutti", "serve", "--http", ":8080", "--set", "auth.key="+key)
//	control, err := l.Relay(link.Outside, "127.0.0.1:0", link.Server, "127.0.0.1:8080")
//	client := l.Command(link.Client, "node", "client.js", "http://10.0.0.1:8080")
//	err = l.Play(trace)
//	fmt.Println(l.Stats().Up)
package link
