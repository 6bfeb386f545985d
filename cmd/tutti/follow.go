package main

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"
)

// followEvery is how often files are looked at. A change is taken when two looks
// have found the same, so that none is read while it is being written.
const followEvery = 40 * time.Millisecond

// fileVersion is what changes of a file when it is written or replaced.
type fileVersion struct {
	info    fs.FileInfo // nil: it cannot be seen
	changed time.Time
	bytes   int64
}

func (v fileVersion) same(o fileVersion) bool {
	return (v.info == nil) == (o.info == nil) && v.changed.Equal(o.changed) && v.bytes == o.bytes &&
		(v.info == nil || os.SameFile(v.info, o.info))
}

func look(files []string) []fileVersion {
	versions := make([]fileVersion, len(files))
	for i, f := range files {
		if info, err := os.Stat(f); err == nil {
			versions[i] = fileVersion{info, info.ModTime(), info.Size()}
		}
	}
	return versions
}

// follow calls reload, which answers why it kept what it had, whenever one of the
// files has changed, or at once when somebody says now. It ends with ctx. seen is
// what look answered before the files were read first.
func follow(ctx context.Context, files []string, seen []fileVersion, now <-chan os.Signal, reload func() error, log *slog.Logger) {
	same := func(a, b []fileVersion) bool { return slices.EqualFunc(a, b, fileVersion.same) }
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for last := seen; ; {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-now:
			asked = true
		case <-tick.C:
		}
		found := look(files)
		settled := same(found, last)
		last = found
		if !asked && (!settled || same(found, seen)) {
			continue
		}
		seen = found
		if err := reload(); err != nil {
			log.Warn("a file was not taken; what it said before stays", "files", files, "error", oneLine(err))
			continue
		}
		log.Info("a file was read again", "files", files)
	}
}
