package api

import (
	"math"
	"testing"
	"time"

	"tutti/api/router/placement"
	"tutti/mixer"
)

// CPU is what was used over the last five seconds, and divided by what the rooms
// did in them.
func TestUsage(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	u := &usage{samples: []sample{{at: began}}}
	at := func(ms int, cpu time.Duration, work map[string]float64) (float64, map[string]float64) {
		return u.measure(sample{began.Add(time.Duration(ms) * time.Millisecond), cpu, work})
	}
	if cpu, costs := at(0, time.Second, nil); cpu != 0 || len(costs) != 0 {
		t.Errorf("at once: %v %v", cpu, costs)
	}
	// 100 ms/s for ten seconds, then 400; "b" comes at 8 s and works three times as much.
	w := map[string]float64{"a": 0}
	var cpu float64
	var costs map[string]float64
	used := time.Duration(0)
	for ms := 1000; ms <= 20000; ms += 1000 {
		rate := 100 * time.Millisecond
		if ms > 10000 {
			rate = 400 * time.Millisecond
		}
		used += rate
		now := map[string]float64{"a": w["a"] + 10, "idle": 5}
		if ms > 8000 {
			now["b"] = w["b"] + 30
		}
		w = now
		cpu, costs = at(ms, used, w)
		if ms == 10000 && math.Abs(cpu-100) > 1 {
			t.Errorf("before: %v", cpu)
		}
	}
	if math.Abs(cpu-400) > 1 || math.Abs(costs["a"]-100) > 1 || math.Abs(costs["b"]-300) > 1 || costs["idle"] != 0 {
		t.Errorf("%v: %v", cpu, costs)
	}
	_, costs = at(21000, used+400*time.Millisecond, map[string]float64{"a": w["a"] + 10, "b": 30}) // b began anew
	if costs["a"] <= 0 || costs["b"] <= 0 || costs["a"]+costs["b"] > 500 {
		t.Errorf("anew: %v", costs)
	}
	if len(u.samples) > 8 {
		t.Errorf("%d samples are kept", len(u.samples))
	}
}

// A larger canvas, more voices and more cameras cost more.
func TestWork(t *testing.T) {
	small, large := mixer.Canvas{Width: 640, Height: 360}, mixer.Canvas{Width: 1280, Height: 720}
	s := mixer.Stats{VideoEncodes: 30, VideoFrames: 30, AudioEncodes: 50}
	if a, b := work(s, small), work(s, large); a <= 0 || b <= a {
		t.Errorf("%v, %v", a, b)
	}
	more := s
	more.Blocks[mixer.Voice], more.Pictures = 50, 15
	if work(more, small) <= work(s, small) {
		t.Error("voices and cameras cost nothing")
	}
	more = s
	more.Blocks[mixer.Silence] = 1000
	if work(more, small) != work(s, small) {
		t.Error("silence costs something")
	}
}

// The process' CPU rises with what it does.
func TestProcessCPU(t *testing.T) {
	before := processCPU()
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
		_ = math.Sqrt(float64(end.Nanosecond()))
	}
	if used := processCPU() - before; used <= 0 {
		t.Errorf("used %v", used)
	}
}

// A server by itself explains itself as a router does.
func TestRouteOfAServerByItself(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Labels, c.Capacity = map[string]string{"region": "eu"}, 1500 })
	h.json("PUT", "/v1/rooms/r1", h.admin(), `{"tenant":"t1"}`).is(201)
	explain := func(query string) (r routeResource) {
		t.Helper()
		h.do("GET", "/v1/route?"+query, h.admin(), "").is(200).into(&r)
		return r
	}
	r := explain("room=r1")
	if r.Room != "r1" || r.Rule != "default" || r.Owner == nil || r.Owner.Node != "node-1" || r.Chosen != "node-1" ||
		len(r.Candidates) != 1 || r.Candidates[0].Node != "node-1" || !r.Candidates[0].Accepts || r.Candidates[0].Score == 0 {
		t.Errorf("%+v", r)
	}
	if same := explain("room=r1&tenant=t2"); same.Key != r.Key { // it has its own
		t.Errorf("key %s, %s", same.Key, r.Key)
	}
	if other := explain("room=r2"); other.Owner != nil || other.Key == r.Key {
		t.Errorf("%+v", other)
	}
	key, _ := placement.Key("t1", "r2")
	if got := explain("room=r2&tenant=t1&kind=k&purpose=p").Key; len(got) != 16 || got == explain("room=r2").Key || key == 0 {
		t.Errorf("key %s", got)
	}
	h.json("PATCH", "/v1/nodes/node-1", h.admin(), `{"state":"draining"}`).is(200)
	if r := explain("room=r2"); r.Chosen != "" || r.Candidates[0].Accepts || r.Candidates[0].Why != "is draining" {
		t.Errorf("draining: %+v", r)
	}
	for query, field := range map[string]string{"": "room", "room=a/b": "room", "room=x&tenant=a%20b": "tenant", "room=x&y=z": "y"} {
		h.do("GET", "/v1/route?"+query, h.admin(), "").problem(400, "invalid_query", field)
	}
	var nodes struct{ Nodes []nodeResource }
	h.do("GET", "/v1/nodes", h.admin(), "").is(200).into(&nodes)
	if n := nodes.Nodes[0]; n.Labels["region"] != "eu" || n.Load.Capacity != 1500 || n.State != "draining" || n.Rooms != 1 {
		t.Errorf("%+v", n)
	}
	h.json("PATCH", "/v1/nodes/node-1", h.admin(), `{"state":"draining","deadline_s":60}`).problem(400, "invalid_field", "deadline_s")
}

// In a cluster a node tells who the directory says has the room.
func TestRouteOfANode(t *testing.T) {
	m := newMember(t, nil)
	m.cluster.moveTo("r1", "node-2")
	var r routeResource
	m.do("GET", "/v1/route?room=r1", m.admin(), "").is(200).into(&r)
	if r.Owner == nil || r.Owner.Node != "node-2" || r.Owner.Epoch != 9 {
		t.Errorf("%+v", r.Owner)
	}
}
