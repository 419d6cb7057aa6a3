package snapshot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"oktasync/reconcile/snapshot"
)

// A userList is a UserReader of users held in memory.
type userList struct {
	users []snapshot.User
	next  int
}

func (l *userList) Next() (snapshot.User, error) {
	if l.next == len(l.users) {
		return snapshot.User{}, io.EOF
	}
	l.next++
	return l.users[l.next-1], nil
}

func (l *userList) Close() error { return nil }

// usersOf returns users, given in any form of JSON, in the order given.
func usersOf(t testing.TB, users ...string) *userList {
	t.Helper()
	l := new(userList)
	for _, u := range users {
		line := canonical(t, u)
		id, _ := decode(t, line).(map[string]any)["id"].(string)
		l.users = append(l.users, snapshot.User{ID: []byte(id), JSON: line})
	}
	return l
}

// org returns n made-up users as Okta sends them, about 1.4 kB each.
func org(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf(oktaUser, i, i, i, i%7, i, i, i, i)
	}
	return users
}

func bytesOf(texts []string) [][]byte {
	var all [][]byte
	for _, text := range texts {
		all = append(all, []byte(text))
	}
	return all
}

// oktaUser has its members in Okta's order, which is no order.
const oktaUser = `{"id":"00u%017d","status":"ACTIVE","created":"2024-02-14T09:00:00.000Z","activated":"2024-02-14T09:00:01.000Z",` +
	`"statusChanged":"2024-02-14T09:00:01.000Z","lastLogin":"2026-11-20T07:12:33.000Z","lastUpdated":"2026-10-02T11:20:00.000Z",` +
	`"passwordChanged":null,"type":{"id":"otyfnjfba4ye7pgjB0g4"},"profile":{"firstName":"Zoë-%d","lastName":"Müller",` +
	`"mobilePhone":null,"secondEmail":null,"login":"user-%d@acme.example","email":"zoe.mueller@acme.example","displayName":"Zoë Müller",` +
	`"title":"Site Reliability Engineer %d","department":"Platform Engineering","division":"Technology","organization":"Acme GmbH",` +
	`"costCenter":"CC-%d","employeeNumber":"E%07d","manager":"José Álvarez","managerId":"00u00000000000000017","userType":"Employee",` +
	`"streetAddress":"Chausseestraße 12","city":"Berlin","state":"Berlin","zipCode":"10115","countryCode":"DE","locale":"de_DE",` +
	`"timezone":"Europe/Berlin","preferredLanguage":"de","badge":%d,"salaryBand":12345678901234567890,"entitlements":["vpn","git","wiki"]},` +
	`"credentials":{"password":{},"emails":[{"value":"zoe.mueller@acme.example","status":"VERIFIED","type":"PRIMARY"}],` +
	`"recovery_question":{"question":"What was your first exam?"},"provider":{"type":"OKTA","name":"OKTA"}},` +
	`"_links":{"self":{"href":"https://acme.okta.com/api/v1/users/00u%017d"}}}`

// canonical returns the canonical form of src, which is valid.
func canonical(t testing.TB, src string) []byte {
	t.Helper()
	b, err := snapshot.Canonical(nil, []byte(src))
	if err != nil {
		t.Fatalf("Canonical(%s): %v", src, err)
	}
	return b
}

// decode decodes JSON as another library sees it, with numbers as texts.
func decode(t testing.TB, src []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode %s: %v", src, err)
	}
	return v
}
