package report

import "oktasync/cmd/oktasync/internal/document"

// administrators returns the section about the holders of admin roles.
func administrators(o *Options) ([]document.Section, error) { return nil, nil }

// state returns the sections about the users of o.Snapshot.
func state(o *Options) ([]document.Section, error) { return nil, nil }
