package access

// The values of usable: a user can use an app, as far as the record shows. Permissions
// inside the app and sign-in policies aren't recorded.
const (
	yes     = "yes"
	no      = "no"
	unknown = "unknown"
)

// usable returns whether a path is usable, and why it isn't yes. The statuses are those of
// Okta's APIs for users, apps and app users.
func usable(r *Row) (answer, reason string) {
	switch {
	case r.AppStatus != "ACTIVE":
		return no, "the app is " + r.AppStatus
	case r.UserStatus == "STAGED" || r.UserStatus == "SUSPENDED" || r.UserStatus == "DEPROVISIONED":
		return no, "the user is " + r.UserStatus
	case r.UserStatus == "":
		return unknown, "the user isn't recorded"
	}
	if r.Via != Implicit {
		switch r.AssignmentStatus {
		case "ACTIVE", "PROVISIONED", "IMPLICIT":
		case "SUSPENDED", "DEPROVISIONED", "REVOKED", "UNASSIGNED":
			return no, "the assignment is " + r.AssignmentStatus
		case "IMPORTED", "MATCHED":
			return no, "the assignment is " + r.AssignmentStatus + ", not confirmed"
		case "":
			return unknown, "Okta doesn't list the user in the app"
		default:
			return unknown, "the assignment is " + r.AssignmentStatus
		}
	}
	if r.UserStatus != "ACTIVE" {
		return unknown, "the user is " + r.UserStatus
	}
	return yes, ""
}
