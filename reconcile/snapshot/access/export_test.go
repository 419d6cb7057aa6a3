package access

import "testing"

// UseSmallBlocks makes few edges and few bytes be in memory at a time during a test.
func UseSmallBlocks(t *testing.T) {
	edges, bytes := maxEdges, scanBlock
	maxEdges, scanBlock = 3, 100
	t.Cleanup(func() { maxEdges, scanBlock = edges, bytes })
}
