// Package dpopauth is an [http.RoundTripper] that puts an access token and a
// DPoP proof on every request, for any server that speaks RFC 9449. It gets its
// tokens by the client credentials grant and private_key_jwt, as Okta has it
// for service apps, and needs nothing but the standard library.
//
// # What a proof is
//
// A bearer token is good for whoever holds it. A token bound by DPoP is good
// only together with a key: the client makes a key pair, and the token endpoint
// writes the public key's thumbprint (RFC 7638) into the token. A proof is a
// small JWT that the key signs for one request. It names the method (htm), the
// URL without query and fragment (htu), the time (iat), an id that never comes
// again (jti), and, where a token goes along, the token's hash (ath). Its
// header has the public key. A token that leaks is worth nothing without the
// key, and a proof that leaks nothing but for this request, once, for some
// seconds.
//
// So every request that goes out has a proof of its own: each page, each retry,
// also those that net/http makes by itself when a kept connection breaks. That
// is why a [Transport] goes below all layers that send again. It never hands
// out a token; there is no way to put one on a request but to send the request
// through it.
//
// # Two keys
//
// [Config.ClientKey] authenticates the client to the token endpoint, by an
// assertion (RFC 7523): its public half is registered there. [Config.DPoPKey]
// signs the proofs, and need not be known to anybody: left out, it is made at
// start and dies with the process. The two are never the same. Package
// [oktasync/dpopauth/keys] reads them from files; either may be any
// [crypto.Signer], so that the private key can stay in a KMS or a TPM.
//
// # Nonces
//
// A server that would rather not trust clocks demands a nonce of its own in the
// proof. It names it in the header DPoP-Nonce, together with a refusal
// (use_dpop_nonce), whereupon the request is sent again, or ahead of time with
// any other answer. A nonce is used until the server names another; when that
// is, is the server's business: Okta's lives a day, others' a minute. The
// newest is kept for each server and each role: what the token endpoint gave
// never goes to an API, though both may be at one origin.
//
// # Clocks
//
// A server refuses a proof that is too old, or dated in its future, at times
// with no tolerance at all. So proofs and assertions are dated by the server's
// clock as the Date of its answers shows it, never ahead of it, and a second
// back while none has been seen. A difference of up to 15 minutes is worked
// around; beyond that the error is a [*Skew], which has both times.
//
// # Tokens
//
// The first request fetches a token, and all others wait for it. Renewal begins
// at 80 to 90 % of its life, if that is a minute or more, beside the requests,
// which go on with the old one; when it fails they go on until the end of that
// life. A server that fails is asked again only after a back-off, in which
// callers get its last error. A token that an API has withdrawn (401) is
// replaced once for all who got that answer.
//
// # Errors
//
// Why there is no token, or why an API refuses one after all retries, is an
// [*Error] from RoundTrip, with the server's code and request id, and a hint
// for a person. In this alone RoundTrip departs from the letter of
// [http.RoundTripper], which would have a 401 returned as an answer. Whatever
// is not about authentication is returned as it came: a 404, a 429, a 500, a
// 403 for want of a role.
//
// # Okta
//
// What is Okta's own is an option or read with tolerance, and breaks no other
// server: the htu of a path with escapes ([Config.DecodedPathHTU]), the
// assertion's audience ([Config.Audience]), refused proofs by status 400,
// API-shaped errors of the token endpoint, 400 for an overload, and scopes that
// are left out in silence, which are an error here.
//
// # Goroutines
//
// Everything here is safe for use by any number of goroutines. A Transport has
// no goroutine but for the time of a fetch, which ends when nobody waits for it
// any more, in two minutes at most. No lock is held while something is signed,
// sent or logged. A cancelled request returns at once and leaves the fetch to
// the others.
//
// # What is never written anywhere
//
// Tokens, proofs, assertions and private keys are in no log, no error and no
// file (only [keys.Key.WriteFile] writes one, when asked). Keys and Transports
// print as "[redacted …]" whatever the verb, and are marshalled so. What a server
// says in an error is cut, and cleaned of all that could be a piece of a token,
// before it is shown.
//
// CONFORMANCE.md lists what is required of a client and where each point is
// tested.
package dpopauth
