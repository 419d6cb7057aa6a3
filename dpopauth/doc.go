// Package dpopauth puts an access token and a DPoP proof on every HTTP request.
package dpopauth
