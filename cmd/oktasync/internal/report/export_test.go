package report

// UserLink returns the address of a user in the Admin Console of the org at orgURL.
func UserLink(orgURL, id string) string { return linksOf(orgURL).user(id) }
