// Package verify checks DPoP proofs and the access tokens bound to them, for
// servers: for a resource server that wants its own API protected as Okta's is,
// and for an authorization server.
//
// # What a proof is
//
// A bearer token is good for whoever holds it. With DPoP (RFC 9449) the client
// has a key pair, and the authorization server writes the thumbprint of the
// public key into the token, as cnf.jkt. With each request the client sends a
// proof: a small JWT, signed with the private key, that names the method (htm),
// the URL without its query (htu), the time (iat), a number used once (jti) and
// the hash of the token (ath). Its header holds the public key, so a proof by
// itself proves nothing but that its sender has some key. What binds is that the
// key's thumbprint is the one in the token. A stolen token is worth nothing
// without the key, and a stolen proof is good once, here, for some seconds.
//
// A server that does not trust iat, because clocks are wrong and proofs can be
// made in advance, hands out a nonce and demands it back in the proof. The
// client learns a nonce from a challenge, or from any other answer. It is good
// for many proofs and changes now and then; the old one stays good for a while.
//
// # At a resource server
//
// [Resource.Protect] wraps an [http.Handler]. It needs a [Verifier] for proofs
// and a function that checks access tokens: [Issuer.Token] for JWTs of any
// authorization server that publishes its keys, or your own. See the example.
//
// # At an authorization server
//
// [Clients.Assertion] checks how the client authenticates (private_key_jwt), and
// [Verifier.Proof] the proof that comes with the request for a token. The token
// to issue has the [Proof]'s Thumbprint as cnf.jkt and the token_type DPoP.
// [WriteTokenError] answers what is refused.
//
// # What is checked
//
// Everything in RFC 9449 section 4.3, in the order of its list as far as cost
// allows: size and form, algorithm and key, signature, method and URL, nonce,
// time, token, and replay last, so that a proof that is forged or stale leaves
// nothing behind. What has two forms has one here: base64url, JSON members, RSA
// numbers. Every refusal is an [*Error] with a [Reason], one for each cause.
// The defaults are strict. What is Okta's own way is an option: see
// [Config.DecodedPath], [Config.MaxAge] and [Config.Leeway].
//
// # Limits
//
// A Verifier, Clients, Issuer and Nonces can be used by any number of goroutines.
// What they remember is bounded: when the replay cache is full it refuses rather
// than forgets, and an issuer is asked for new keys at most every 30 seconds.
// Several servers behind one name share a [ReplayCache] of their own making, and
// their nonces by [NonceConfig.Secret].
//
// No error and no answer holds any part of a proof, a token or an assertion, and
// nothing is logged or written to disk.
package verify
