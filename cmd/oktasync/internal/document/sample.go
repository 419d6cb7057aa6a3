package document

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
)

// Sample returns s with at most n of its rows, drawn by seed. The same rows, in any
// order, and the same seed give the same sample. Its method states how to draw it again:
//
//	digest = SHA-256 of the keys of all rows in byte order, each with a newline
//	order  = SHA-256 of seed, newline, digest in hexadecimal, newline, key
//
// Memory grows with the keys of the section, and with n.
func Sample(s Section, n int, seed string) (Section, error) {
	if s.Missing != "" {
		return s, nil
	}
	var keys []string
	for row, err := range s.Rows {
		if err != nil {
			return s, err
		}
		keys = append(keys, row.Key)
	}
	slices.Sort(keys)
	digest := population(keys)
	rows, err := draw(&s, order(keys, digest, seed), n)
	if err != nil {
		return s, err
	}
	s.Method = append(slices.Clip(s.Method),
		fmt.Sprintf("This is a sample: %d of %s.", len(rows), count(len(keys))),
		"Seed: "+seed,
		"Population digest, the SHA-256 of the keys of all rows in byte order, each with a newline: "+digest,
		"Rows are in the order of the SHA-256 of the seed, a newline, the population digest, a newline and the row's key.")
	s.Rows = func(yield func(Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
	return s, nil
}

func population(keys []string) string {
	h := sha256.New()
	for _, key := range keys {
		io.WriteString(h, key+"\n")
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A rank is the position of a key in a sample.
type rank struct {
	sum [sha256.Size]byte
	key string
}

func (r rank) compare(to rank) int {
	return cmp.Or(slices.Compare(r.sum[:], to.sum[:]), cmp.Compare(r.key, to.key))
}

// order returns the ranks of keys, smallest first.
func order(keys []string, digest, seed string) []rank {
	ranks := make([]rank, len(keys))
	for i, key := range keys {
		ranks[i] = rank{sha256.Sum256([]byte(seed + "\n" + digest + "\n" + key)), key}
	}
	slices.SortFunc(ranks, rank.compare)
	return ranks
}

// draw returns the rows of the first n ranks, in their order.
func draw(s *Section, ranks []rank, n int) ([]Row, error) {
	ranks = ranks[:min(n, len(ranks))]
	position := make(map[string]int, len(ranks))
	for i, r := range ranks {
		if _, repeated := position[r.key]; repeated {
			return nil, fmt.Errorf("section %s: two rows have the key %q", s.ID, r.key)
		}
		position[r.key] = i
	}
	rows := make([]Row, len(ranks))
	for row, err := range s.Rows {
		if err != nil {
			return nil, err
		}
		if i, drawn := position[row.Key]; drawn {
			row.Cells = slices.Clone(row.Cells)
			rows[i] = row
		}
	}
	return rows, nil
}
