package daemon

import (
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// storeSize caches the size of the store, because walking years of snapshots takes a
// while.
type storeSize struct {
	mu        sync.Mutex
	dir       string
	measured  time.Time
	bytes     int64
	snapshots map[string]int
}

// sizeAge is the largest age of a cached size.
const sizeAge = 5 * time.Minute

func (z *storeSize) of(dir string) (bytes int64, snapshots map[string]int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.dir == dir && time.Since(z.measured) < sizeAge {
		return z.bytes, z.snapshots
	}
	z.dir, z.measured, z.bytes, z.snapshots = dir, time.Now(), 0, make(map[string]int)
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // pruned or renamed meanwhile
		}
		folder := filepath.Dir(path)
		export := filepath.Dir(folder)
		if entry.Name() == "manifest.json" && filepath.Dir(export) == dir && filepath.Base(folder)[0] != '.' {
			z.snapshots[filepath.Base(export)]++
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			z.bytes += info.Size()
		}
		return nil
	})
	return z.bytes, z.snapshots
}
