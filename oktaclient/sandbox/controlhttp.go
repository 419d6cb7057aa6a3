package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// controlPath is the prefix of the control API of an org with [Config.Control]:
//
//	POST /sandbox/join?n=3
//	POST /sandbox/{move,touch,suspend,unsuspend,deactivate,reactivate,delete}?n=3, or ?id=00u…&id=00u…
//	POST /sandbox/put                            a user as body
//	POST /sandbox/set?id=00u…&path=profile.title a JSON value as body
//	POST /sandbox/wipe  /sandbox/restore
//	POST /sandbox/add-group?name=…&description=…
//	POST /sandbox/put-group                      a group as body
//	POST /sandbox/set-group?id=00g…&path=profile.name a JSON value as body
//	POST /sandbox/delete-group?id=00g…
//	POST /sandbox/fault?fault=nth=3,status=500   see [ParseFault]
//	POST /sandbox/add-key?client=0oa…            a public JWK with a kid as body
//	POST /sandbox/remove-key?client=0oa…&kid=…
//	POST /sandbox/clear-faults  /sandbox/revoke  /sandbox/rotate-nonces  /sandbox/reset-stats
//	GET  /sandbox/stats  /sandbox/count          JSON
//	GET  /sandbox/users  /sandbox/groups         every user or group, one a line, as lists show them
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
	case "count":
		writeJSON(w, o.Count())
	case "users":
		writeLines(w, o.UsersJSON())
	case "groups":
		writeLines(w, o.GroupsJSON())
	default:
		http.Error(w, "stats, count, users or groups", http.StatusNotFound)
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
	case "put":
		return []string{text(body, "id")}, o.Put(body)
	case "set":
		return query["id"], o.Set(query.Get("id"), query.Get("path"), body)
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
	case "clear-faults":
		o.ClearFaults()
	case "revoke":
		o.RevokeTokens()
	case "rotate-nonces":
		o.RotateNonces()
	case "reset-stats":
		o.ResetStats()
	default:
		return o.changeUsers(command, query["id"], query.Get("n"))
	}
	return nil, nil
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
