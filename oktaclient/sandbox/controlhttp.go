package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"oktasync/oktaclient/sandbox/internal/roles"
)

// controlPath is the prefix of the control API of an org with [Config.Control]:
//
//	POST /sandbox/join?n=3
//	POST /sandbox/{move,touch,suspend,unsuspend,deactivate,reactivate,delete}?n=3, or ?id=00u…&id=00u…
//	POST /sandbox/wipe  /sandbox/restore
//	POST /sandbox/add-group?name=…&description=…
//	POST /sandbox/put-group                      a group as body
//	POST /sandbox/set-group?id=00g…&path=profile.name a JSON value as body
//	POST /sandbox/delete-group?id=00g…
//	POST /sandbox/{add,remove}-member?group=00g…&user=00u…
//	POST /sandbox/add-app?label=…
//	POST /sandbox/put-app                        an app as body
//	POST /sandbox/set-app?id=0oa…&path=label     a JSON value as body
//	POST /sandbox/{activate,deactivate,delete}-app?id=0oa…
//	POST /sandbox/assign-user?app=0oa…&user=00u…&status=ACTIVE
//	POST /sandbox/unassign-user?app=0oa…&user=00u…
//	POST /sandbox/assign-group?app=0oa…&group=00g…&priority=0
//	POST /sandbox/unassign-group?app=0oa…&group=00g…
//	POST /sandbox/add-rule?name=…&expression=…&group=00g…
//	POST /sandbox/set-rule?id=0pr…&path=name     a JSON value as body
//	POST /sandbox/{activate,deactivate,delete}-rule?id=0pr…
//	POST /sandbox/add-api-token?name=…&user=00u…
//	POST /sandbox/{use,revoke}-api-token?id=00T…
//	POST /sandbox/enroll-factor?user=00u…&type=sms&status=ACTIVE
//	POST /sandbox/set-factor-status?user=00u…&id=…&status=INACTIVE
//	POST /sandbox/remove-factor?user=00u…&id=…
//	POST /sandbox/{hide,show}-factors?type=sms     as a policy does, for all users
//	POST /sandbox/{grant,revoke}-role?user=00u…&type=SUPER_ADMIN  or group=00g… or client=0oa…;
//	                                             with type=CUSTOM also role=cr0… and resource-set=iam…
//	POST /sandbox/set-role-targets?user=00u…&type=USER_ADMIN&target=GROUP:00g…
//	                                             also APP:0oa…, and APP::salesforce for all instances
//	POST /sandbox/fault?fault=nth=3,status=500   see [ParseFault]
//	POST /sandbox/add-key?client=0oa…            a public JWK with a kid as body
//	POST /sandbox/remove-key?client=0oa…&kid=…
//	POST /sandbox/revoke
//	GET  /sandbox/stats                          JSON
//	GET  /sandbox/users  /sandbox/groups  /sandbox/apps  /sandbox/rules  /sandbox/api_tokens
//	                                             every object, one a line, as lists show them
//	GET  /sandbox/roles                          every admin role, one a line
//	GET  /sandbox/group_members  /sandbox/app_users  /sandbox/app_groups
//	                                             every edge, one a line: {"parent": …, "child": …}
//
// The response to a change is {"ids": […]}. No request needs a token.
const controlPath = "/sandbox/"

const maxControlBody = 1 << 20 // bytes

// serveControl serves a request under controlPath.
func (o *Org) serveControl(w http.ResponseWriter, r *http.Request) {
	command := strings.TrimPrefix(r.URL.Path, controlPath)
	switch r.Method {
	case http.MethodGet:
		o.show(w, command)
	case http.MethodPost:
		ids, err := o.control(command, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, map[string]any{"ids": append([]string{}, ids...)}) // [] and not null
	default:
		http.Error(w, "GET or POST", http.StatusMethodNotAllowed)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // an error means that the client has disconnected
}

// show serves a GET request.
func (o *Org) show(w http.ResponseWriter, command string) {
	switch command {
	case "stats":
		writeJSON(w, o.Stats())
	case "users":
		writeLines(w, o.UsersJSON())
	case "groups":
		writeLines(w, o.GroupsJSON())
	case "apps":
		writeLines(w, o.AppsJSON())
	case "rules":
		writeLines(w, o.RulesJSON())
	case "api_tokens":
		writeLines(w, o.APITokensJSON())
	case "roles":
		writeLines(w, func(yield func(string, []byte) bool) {
			for _, a := range o.Roles().Assignments() {
				if line, _ := json.Marshal(a); !yield("", line) {
					return
				}
			}
		})
	default:
		if !slices.Contains(EdgeKinds(), EdgeKind(command)) {
			http.Error(w, "stats, users, groups, apps, rules, api_tokens, roles or a kind of edges", http.StatusNotFound)
			return
		}
		writeLines(w, func(yield func(string, []byte) bool) {
			for e := range o.Edges(EdgeKind(command), time.Time{}) {
				if line, _ := json.Marshal(map[string]string{"parent": e.Parent, "child": e.Child}); !yield("", line) {
					return
				}
			}
		})
	}
}

func writeLines(w http.ResponseWriter, objects iter.Seq2[string, []byte]) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, object := range objects {
		if _, err := w.Write(append(object, '\n')); err != nil {
			return
		}
	}
}

// control executes a command, and returns the ids of the changed objects.
func (o *Org) control(command string, r *http.Request) (ids []string, err error) {
	query := r.URL.Query()
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxControlBody))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	switch command {
	case "add-group":
		return []string{o.AddGroup(query.Get("name"), query.Get("description"))}, nil
	case "put-group":
		return []string{text(body, "id")}, o.PutGroup(body)
	case "set-group":
		return query["id"], o.SetGroup(query.Get("id"), query.Get("path"), body)
	case "delete-group":
		return query["id"], o.DeleteGroup(query.Get("id"))
	case "wipe":
		o.Wipe()
	case "restore":
		o.Restore()
	case "fault":
		f, err := ParseFault(query.Get("fault"))
		if err == nil {
			o.Inject(f)
		}
		return nil, err
	case "add-key":
		key, err := parseJWK(body)
		if err == nil {
			err = o.AddKey(query.Get("client"), key)
		}
		return nil, err
	case "remove-key":
		return nil, o.RemoveKey(query.Get("client"), query.Get("kid"))
	case "revoke":
		o.RevokeTokens()
	default:
		if change := o.accessControl(command, query, body); change != nil {
			return change()
		}
		if strings.HasSuffix(command, "-role") || command == "set-role-targets" {
			return o.roleControl(command, query)
		}
		return o.changeUsers(command, query["id"], query.Get("n"))
	}
	return nil, nil
}

// accessControl returns the control of members, apps, rules, API tokens and factors with
// a name, or nil.
func (o *Org) accessControl(command string, query url.Values, body []byte) func() ([]string, error) {
	id, app, user, group := query.Get("id"), query.Get("app"), query.Get("user"), query.Get("group")
	path := query.Get("path")
	change := map[string]func() error{
		"add-member":        func() error { return o.AddMember(group, user) },
		"remove-member":     func() error { return o.RemoveMember(group, user) },
		"set-app":           func() error { return o.SetApp(id, path, body) },
		"activate-app":      func() error { return o.SetAppActive(id, true) },
		"deactivate-app":    func() error { return o.SetAppActive(id, false) },
		"delete-app":        func() error { return o.DeleteApp(id) },
		"assign-user":       func() error { return o.AssignUser(app, user, query.Get("status")) },
		"unassign-user":     func() error { return o.UnassignUser(app, user) },
		"unassign-group":    func() error { return o.UnassignGroup(app, group) },
		"set-rule":          func() error { return o.SetRule(id, path, body) },
		"activate-rule":     func() error { return o.SetRuleActive(id, true) },
		"deactivate-rule":   func() error { return o.SetRuleActive(id, false) },
		"delete-rule":       func() error { return o.DeleteRule(id) },
		"use-api-token":     func() error { return o.UseAPIToken(id) },
		"revoke-api-token":  func() error { return o.RevokeAPIToken(id) },
		"set-factor-status": func() error { return o.SetFactorStatus(user, id, query.Get("status")) },
		"remove-factor":     func() error { return o.RemoveFactor(user, id) },
		"hide-factors":      func() error { return o.ShowFactors(query.Get("type"), false) },
		"show-factors":      func() error { return o.ShowFactors(query.Get("type"), true) },
		"assign-group": func() error {
			priority, err := strconv.Atoi(cmp.Or(query.Get("priority"), "0"))
			if err != nil {
				return fmt.Errorf("priority: not a number: %q", query.Get("priority"))
			}
			return o.AssignGroup(app, group, priority)
		},
	}[command]
	switch {
	case change != nil:
		return func() ([]string, error) { return query["id"], change() }
	case command == "add-app":
		return func() ([]string, error) { return []string{o.AddApp(query.Get("label"))}, nil }
	case command == "add-api-token":
		return func() ([]string, error) { return []string{o.AddAPIToken(query.Get("name"), user)}, nil }
	case command == "enroll-factor":
		return func() ([]string, error) {
			id, err := o.EnrollFactor(user, query.Get("type"), query.Get("status"))
			return []string{id}, err
		}
	case command == "put-app":
		return func() ([]string, error) { return []string{text(body, "id")}, o.PutApp(body) }
	case command == "add-rule":
		return func() ([]string, error) {
			return []string{o.AddRule(query.Get("name"), query.Get("expression"), group)}, nil
		}
	}
	return nil
}

// roleControl changes admin roles.
func (o *Org) roleControl(command string, query url.Values) (ids []string, err error) {
	a := RoleAssignment{Type: query.Get("type"), Role: query.Get("role"), ResourceSet: query.Get("resource-set")}
	for _, kind := range []string{roles.User, roles.Group, roles.Client} {
		if id := query.Get(strings.ToLower(kind)); id != "" {
			a.PrincipalType, a.Principal = kind, id
		}
	}
	for _, text := range query["target"] {
		kind, id, _ := strings.Cut(text, ":")
		id, app, _ := strings.Cut(id, ":")
		a.Targets = append(a.Targets, RoleTarget{Type: kind, ID: id, App: app})
	}
	switch r := o.Roles(); command {
	case "grant-role":
		err = r.Grant(a)
	case "revoke-role":
		err = r.Revoke(a)
	case "set-role-targets":
		err = r.SetTargets(a)
	default:
		err = fmt.Errorf("unknown control %q", command)
	}
	return []string{a.Principal}, err
}

// changeUsers adds or changes users.
func (o *Org) changeUsers(command string, ids []string, number string) ([]string, error) {
	op, join := Op(command), command == "join"
	if !join && !slices.Contains(Ops(), op) {
		return nil, fmt.Errorf("unknown control %q", command)
	}
	if len(ids) > 0 && !join {
		return ids, o.Change(op, ids...)
	}
	n, err := strconv.Atoi(cmp.Or(number, "1"))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("n: not a number of users: %q", number)
	}
	if join {
		return o.Join(n), nil
	}
	return o.change(op, n), nil
}
