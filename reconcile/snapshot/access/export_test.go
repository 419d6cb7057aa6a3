package access

import "testing"

// UseSmallBlocks makes few edges and few bytes be in memory at a time during a test.
func UseSmallBlocks(t *testing.T) {
	edges, holders, bytes := maxEdges, maxHolders, scanBlock
	maxEdges, maxHolders, scanBlock = 3, 3, 100
	t.Cleanup(func() { maxEdges, maxHolders, scanBlock = edges, holders, bytes })
}

// Both is both.
var Both = both
