package main

import "testing"

// stacks are as perf 6.1 writes them.
const stacks = `
	ffffffff813a4413 finish_task_switch.isra.0 ([kernel.kallsyms])
	ffffffff81234567 do_futex ([kernel.kallsyms])
	ffffffff81234568 __x64_sys_futex ([kernel.kallsyms])
	          47e1e3 runtime.futex.abi0 (/usr/bin/tutti)
	          44a0ff runtime.schedule (/usr/bin/tutti)

	ffffffff821f64a2 __pi_memcpy ([kernel.kallsyms])
	ffffffff81234569 __x64_sys_sendmmsg ([kernel.kallsyms])
	          a5ccf7 tutti/transport/plane.(*Socket).send (/usr/bin/tutti)

	    7f0011223344 [unknown] (/usr/lib/x86_64-linux-gnu/libopus.so.0.9.0)

	          a5ccf7 opus_encode_float (/usr/bin/tutti)
	          5dae51 tutti/mixer.(*audioCore).serve (/usr/bin/tutti)

	          5dae51 slices.BinarySearch[go.shape.[]time.Duration,go.shape.int64 (x)] (/usr/bin/tutti)
	          5dae52 tutti/transport/jitter.(*variation).add (/usr/bin/tutti)
	          5dae53 tutti/mixer.(*audioCore).listen (/usr/bin/tutti)

	          5dae54 crypto/internal/fips140/aes/gcm.(*GCM).Open (/usr/bin/tutti)
	          5dae55 tutti/transport/plane.(*Session).receive (/usr/bin/tutti)
	          5dae56 runtime.goexit.abi0 (/usr/bin/tutti)

	    7ffc11223344 [unknown] ([vdso])

	          5dae57 main.sys_reader (/usr/bin/tutti)
`

func TestShares(t *testing.T) {
	parsed := parseStacks([]byte(stacks))
	if len(parsed) != 8 || len(parsed[0]) != 5 || parsed[0][0] != (frame{"finish_task_switch.isra.0", "[kernel.kallsyms]"}) {
		t.Fatalf("%q", parsed)
	}
	if f := parsed[4][0]; f.function != "slices.BinarySearch[go.shape.[]time.Duration,go.shape.int64 (x)]" || f.object != "/usr/bin/tutti" {
		t.Errorf("%q", f)
	}
	want := "Opus 25 %, all else 25 %, system calls that send or receive 12 %, kernel besides: waiting, waking, switching 12 %, SRTP 12 %, jitter buffers 12 % (8 samples)"
	if got := shares(parsed); got != want {
		t.Errorf("%s\nnot\n%s", got, want)
	}
	if got := shares(parseStacks(nil)); got != " (0 samples)" {
		t.Errorf("of nothing %q", got)
	}
}

func FuzzParseStacks(f *testing.F) {
	f.Add([]byte(stacks))
	f.Add([]byte("1\n(\n ()\n\n\n"))
	f.Fuzz(func(_ *testing.T, b []byte) { shares(parseStacks(b)) })
}
