package oktaclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"oktasync/oktaclient"
)

// logins prints who is in an org as they come.
type logins struct{}

func (logins) User(u oktaclient.User) error {
	fmt.Println(u.ID, u.Status)
	return nil
}

func (logins) Outside(oktaclient.User) error { return nil }

func (logins) Request(oktaclient.Request) error { return nil }

func ExampleClient_Users() {
	org := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Has("filter") {
			fmt.Fprint(w, `[{"id":"00u3","status":"DEPROVISIONED"}]`)
			return
		}
		fmt.Fprint(w, `[{"id":"00u1","status":"ACTIVE"},{"id":"00u2","status":"STAGED"}]`)
	}))
	defer org.Close()

	client, err := oktaclient.New(oktaclient.Config{
		OrgURL:     org.URL,
		HTTPClient: org.Client(), // at Okta: one that authenticates
	})
	if err != nil {
		log.Fatal(err)
	}
	reading, err := client.Users(context.Background(), oktaclient.Query{IncludeDeprovisioned: true}, logins{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reading.Rows, "users in", reading.Requests, "requests")
	// Output:
	// 00u1 ACTIVE
	// 00u2 STAGED
	// 00u3 DEPROVISIONED
	// 3 users in 2 requests
}
