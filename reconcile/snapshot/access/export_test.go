package access

import (
	"iter"
	"testing"
)

// UseSmallBlocks makes few edges, bytes and users be in memory at a time during a test.
func UseSmallBlocks(t *testing.T) {
	edges, holders, bytes, users := maxEdges, maxHolders, scanBlock, userBatch
	maxEdges, maxHolders, scanBlock, userBatch = 3, 3, 100, 2
	t.Cleanup(func() { maxEdges, maxHolders, scanBlock, userBatch = edges, holders, bytes, users })
}

// Both is both.
var Both = both

// LoadUser reads the first user with a userCursor.
func LoadUser(users iter.Seq2[[]byte, error]) error {
	c := newUserCursor(users)
	defer c.close()
	return c.load()
}
