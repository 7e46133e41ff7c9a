package transfer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"satchel/fixtures"
	"satchel/transfer"
)

// The process dies at any operation; the next one ends in the same bytes.
func TestPackContinuesAfterDeath(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, o.sources(), prologue, transfer.PackOptions{})
	options := transfer.PackOptions{Buffer: 100_000}
	for n := 1; ; n++ {
		disk := fixtures.NewDisk()
		var died fixtures.Operation
		disk.SetFault(func(op fixtures.Operation) fixtures.DiskFault {
			if op.N == n {
				died = op
			}
			return fixtures.DiskFault{Dies: op.N == n}
		})
		_, _, err := packInto(t.Context(), disk, prologue, o.sources(), options)
		if died.N == 0 {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		what := fmt.Sprintf("died at operation %d, %s %s", n, died.Kind, died.Name)
		if !errors.Is(err, fixtures.ErrDead) {
			t.Errorf("%s: %v", what, err)
		}
		disk.Revive()
		if _, _, err := packInto(t.Context(), disk, prologue, o.sources(), options); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := disk.Files()
		for name := range got {
			if strings.HasSuffix(name, ".part") {
				t.Errorf("%s: %s is left", what, name)
			}
		}
		sameFiles(t, what, got, want)
	}
}
