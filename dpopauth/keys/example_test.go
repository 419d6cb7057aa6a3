package keys_test

import (
	"fmt"
	"log"
	"strings"

	"oktasync/dpopauth/keys"
)

// A Key can use the crypto.Signer of a KMS or a TPM.
func ExampleNew() {
	key, err := keys.New(signerOfTheKMS)
	if err != nil {
		log.Fatal(err)
	}
	key = key.WithID("2026-11") // the kid at the server
	fmt.Println(key.Algorithm(), key.ID())
	fmt.Println(strings.HasPrefix(fmt.Sprint(key), "[redacted ES256 key"))
	// Output:
	// ES256 2026-11
	// true
}

// signerOfTheKMS represents a client of a KMS.
var signerOfTheKMS = p256()
