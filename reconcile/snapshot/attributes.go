package snapshot

// Attributes says which attributes of a user are kept. Its paths are member
// names joined by dots; a path covers everything below it. Elements of a list
// have no paths: a list is kept or left out whole. The attributes id and
// status are always kept.
type Attributes struct {
	Include []string `json:"include" yaml:"include"` // empty: everything
	Exclude []string `json:"exclude" yaml:"exclude"` // taken away from what Include keeps
}

// Validate reports everything that is wrong with a, as *FieldError values
// joined by errors.Join.
func (a Attributes) Validate() error { panic("soon") }

// Projector returns what applies a to users.
func (a Attributes) Projector() *Projector { panic("soon") }

// A Projector cuts users down to the attributes declared.
type Projector struct{}

// Project appends to dst what is kept of user, an object in canonical form.
// The result is canonical too.
func (p *Projector) Project(dst, user []byte) ([]byte, error) { panic("soon") }

func checkPaths(field string, paths []string) error { panic("soon") }
