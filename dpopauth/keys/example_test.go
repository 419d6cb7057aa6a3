package keys_test

import (
	"fmt"
	"log"
	"strings"

	"oktasync/dpopauth/keys"
)

// A key in a KMS or a TPM is a crypto.Signer, and is all that a Key needs.
func ExampleNew() {
	key, err := keys.New(signerOfTheKMS)
	if err != nil {
		log.Fatal(err)
	}
	key = key.WithID("2026-11") // the kid under which the server has it
	fmt.Println(key.Algorithm(), key.ID())
	fmt.Println(strings.HasPrefix(fmt.Sprint(key), "[redacted ES256 key"))
	// Output:
	// ES256 2026-11
	// true
}

// signerOfTheKMS stands for a client of a KMS.
var signerOfTheKMS = p256()
