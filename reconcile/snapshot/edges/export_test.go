package edges

// SetMaxBlock changes maxBlock for j.
func (j *Joiner) SetMaxBlock(n int) { j.maxBlock = n }
