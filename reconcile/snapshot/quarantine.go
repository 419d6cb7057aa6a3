package snapshot

import (
	"context"
	"errors"
)

// Reading is a reading that a guard held back.
type Reading struct {
	Format    string      `json:"format"`
	StoreID   string      `json:"store_id"`
	Export    string      `json:"export"`
	Reading   string      `json:"reading"` // its name
	Reason    string      `json:"reason"`  // what the guard said
	Org       Org         `json:"org"`
	Client    Client      `json:"client"`
	Run       Run         `json:"run"`
	Tool      Tool        `json:"tool"`
	Declared  Declaration `json:"declared"`
	Read      Read        `json:"read"`
	Resources Resources   `json:"resources"`
	Files     []File      `json:"files"`
	Previous  *Link       `json:"previous"` // the newest snapshot when it was read

	dir string
}

// Quarantine keeps d, without its changes, beside the snapshots and returns
// its name. Of each export the newest three are kept.
func (w *Writer) Quarantine(ctx context.Context, d Draft, reason string) (name string, err error) {
	return "", errors.ErrUnsupported
}

// Quarantined returns the readings of an export that are held back, oldest
// first.
func (s *Store) Quarantined(export string) ([]*Reading, error) { return nil, errors.ErrUnsupported }

// Users reads the users of r.
func (r *Reading) Users() (UserReader, error) { return nil, errors.ErrUnsupported }
