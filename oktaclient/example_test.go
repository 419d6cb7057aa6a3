package oktaclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"oktasync/oktaclient"
)

// logins is a sink that prints the users.
type logins struct{}

func (logins) Record(u oktaclient.Record) error {
	fmt.Println(u.ID, u.Status)
	return nil
}

func (logins) Outside(oktaclient.Record) error { return nil }

func (logins) Request(oktaclient.Request) error { return nil }

func ExampleClient_Read() {
	org := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch filter := r.URL.Query().Get("filter"); {
		case filter == "":
			fmt.Fprint(w, `[{"id":"00u1","status":"ACTIVE"},{"id":"00u2","status":"STAGED"}]`)
		case strings.HasPrefix(filter, "status"):
			fmt.Fprint(w, `[{"id":"00u3","status":"DEPROVISIONED"}]`)
		default: // users that changed during the read: none
			fmt.Fprint(w, `[]`)
		}
	}))
	defer org.Close()

	client, err := oktaclient.New(oktaclient.Config{
		OrgURL:     org.URL,
		HTTPClient: org.Client(), // for Okta, one that authenticates
	})
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.Read(context.Background(), oktaclient.Query{Resource: oktaclient.Users, IncludeDeprovisioned: true}, logins{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Rows, "users in", result.Requests, "requests")
	// Output:
	// 00u1 ACTIVE
	// 00u2 STAGED
	// 00u3 DEPROVISIONED
	// 3 users in 3 requests
}
