// A client of the sandbox with okta-sdk-golang. It prints the ids of all users.
package main

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"

	"github.com/okta/okta-sdk-golang/v5/okta"
)

func main() {
	key, err := os.ReadFile(os.Getenv("OKTA_CC_PRIVATE_KEY_FILE"))
	if err != nil {
		log.Fatal(err)
	}
	config, err := okta.NewConfiguration(
		okta.WithOrgUrl(os.Getenv("OKTA_ORG_URL")), okta.WithAuthorizationMode("PrivateKey"), okta.WithClientId(os.Getenv("OKTA_CLIENT_ID")),
		okta.WithScopes(strings.Fields(os.Getenv("OKTA_SCOPES"))), okta.WithPrivateKey(string(key)), okta.WithCache(false))
	if err != nil {
		log.Fatal(err)
	}
	if org, err := url.Parse(os.Getenv("OKTA_ORG_URL")); err == nil {
		config.Host = org.Host // the SDK removes the port
	}
	users, resp, err := okta.NewAPIClient(config).UserAPI.ListUsers(context.Background()).Execute()
	for err == nil {
		for _, user := range users {
			fmt.Println(user.GetId())
		}
		if !resp.HasNextPage() {
			return
		}
		users = nil
		resp, err = resp.Next(&users)
	}
	log.Fatal(err)
}
