// Package verify checks DPoP proofs and the tokens bound to them, for a server.
package verify
