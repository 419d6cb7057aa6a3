package snapshot_test

import (
	"io"

	"oktasync/reconcile/snapshot"
)

func readAll(snap *snapshot.Snapshot) error {
	for _, r := range snap.Recorded() {
		records, err := snap.Records(r)
		if err != nil {
			return err
		}
		defer records.Close()
		for err == nil {
			_, err = records.Next()
		}
		if err != io.EOF {
			return err
		}
	}
	return nil
}
