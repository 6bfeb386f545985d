package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/server/v3/embed"
)

// How the embedded member is tuned. A leader that is gone is replaced after about
// the election time; a longer one suits networks that lose packets, a shorter one
// takes pauses for deaths.
const (
	heartbeatMS = 30
	electionMS  = 300
	quota       = 1 << 30 // bytes on disk; the records of 10,000 rooms take a hundredth
	history     = "5m"    // who was away longer reads anew instead of the changes
	maxWrites   = 1024    // of one commit
)

// EmbedConfig says what the embedded member is.
type EmbedConfig struct {
	// Name is the member's; each has another.
	Name string
	// Dir is where it keeps its data. It must outlive restarts: a member that comes
	// back with nothing is another one to the rest.
	Dir string
	// ClientURLs and PeerURLs are where it listens, such as http://127.0.0.1:2379;
	// the hosts are IP addresses. See the package comment for who must not reach
	// them.
	ClientURLs, PeerURLs []string
	// AdvertiseClientURLs and AdvertisePeerURLs are where others reach it; by default
	// where it listens.
	AdvertiseClientURLs, AdvertisePeerURLs []string
	// InitialCluster are all members and their peer URLs, name=url,name=url, of
	// which there should be one or three. Empty: it is alone. Once there is data in
	// Dir, it counts no more.
	InitialCluster string
	// InitialClusterToken keeps clusters apart that were set up alike. "tutti" by
	// default.
	InitialClusterToken string
	// Existing says that InitialCluster runs already, and that this member was added
	// to it (`etcdctl member add`).
	Existing bool
	// Log gets etcd's warnings, until Close; none by default.
	Log *slog.Logger
}

// Server is a member of etcd in this process.
type Server struct {
	etcd      *embed.Etcd
	endpoints []string
	closing   sync.Once
	silent    atomic.Bool // once Close has begun
}

// Embed starts a member of etcd. It does not wait until the members have found
// each other; see Ready.
func Embed(c EmbedConfig) (*Server, error) {
	config, err := c.embed()
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	s := &Server{endpoints: texts(config.AdvertiseClientUrls)}
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(c.Log, &s.silent))
	if s.etcd, err = embed.StartEtcd(config); err != nil {
		return nil, fmt.Errorf("etcd: start %s: %w", c.Name, err)
	}
	return s, nil
}

// embed answers the configuration as etcd takes it.
func (c EmbedConfig) embed() (*embed.Config, error) {
	if c.Name == "" || c.Dir == "" {
		return nil, errors.New("a member needs a name and a directory")
	}
	e := embed.NewConfig()
	e.Name, e.Dir = c.Name, c.Dir
	e.TickMs, e.ElectionMs = heartbeatMS, electionMS
	e.QuotaBackendBytes, e.MaxTxnOps, e.MaxRequestBytes = quota, maxWrites, maxMessage
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, history
	e.EnableGRPCGateway = false // or any web page could ask for keys
	e.CORS = nil
	err := errors.Join(
		parse(&e.ListenClientUrls, c.ClientURLs, nil),
		parse(&e.ListenPeerUrls, c.PeerURLs, nil),
		parse(&e.AdvertiseClientUrls, c.AdvertiseClientURLs, c.ClientURLs),
		parse(&e.AdvertisePeerUrls, c.AdvertisePeerURLs, c.PeerURLs),
	)
	e.InitialCluster = c.InitialCluster
	if c.InitialCluster == "" {
		e.InitialCluster = e.InitialClusterFromName(c.Name)
	}
	e.InitialClusterToken = c.InitialClusterToken
	if c.InitialClusterToken == "" {
		e.InitialClusterToken = "tutti"
	}
	if c.Existing {
		e.ClusterState = embed.ClusterStateFlagExisting
	}
	return e, err
}

// parse puts URLs in their place, or others where there are none.
func parse(place *[]url.URL, given, otherwise []string) error {
	if len(given) == 0 {
		given = otherwise
	}
	if len(given) == 0 {
		return errors.New("a member needs client URLs and peer URLs")
	}
	*place = nil
	for _, text := range given {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Port() == "" {
			return fmt.Errorf("%q is no address such as http://127.0.0.1:2379", text)
		}
		*place = append(*place, *u)
	}
	return nil
}

func texts(urls []url.URL) (texts []string) {
	for _, u := range urls {
		texts = append(texts, u.String())
	}
	return texts
}

// Endpoints answers where clients reach this member, for Config.Endpoints.
func (s *Server) Endpoints() []string { return s.endpoints }

// Ready is closed when the member has found a majority and serves.
func (s *Server) Ready() <-chan struct{} { return s.etcd.Server.ReadyNotify() }

// Failed tells why the member stopped by itself; it is closed by Close.
func (s *Server) Failed() <-chan error { return s.etcd.Err() }

// Leads reports whether this member is the leader.
func (s *Server) Leads() bool { return s.etcd.Server.Leader() == s.etcd.Server.MemberID() }

// Close hands the leadership over and stops the member.
func (s *Server) Close() error {
	var err error
	s.closing.Do(func() {
		s.silent.Store(true)
		err = s.etcd.Server.TryTransferLeadershipOnShutdown()
		s.etcd.Close()
	})
	return err
}
