package transfer_test

import (
	"errors"
	"strings"
	"testing"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// TestSelectNamesAllAbsent has three images that the source does not have, and
// one of them for operators: all are named at once.
func TestSelectNamesAllAbsent(t *testing.T) {
	images := fiveBlobs()
	source := serve(t, fixtures.Options{}, images...)
	var wanted []transfer.Wanted
	for _, name := range []string{"gone/a:1", images[0].Reference(), "gone/b:2", "gone/c:3"} {
		ref, err := oci.SplitReference(source.Host() + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		wanted = append(wanted, transfer.Wanted{Name: ref})
	}
	wanted[2].Operators = []string{"alpha", "beta"}
	_, err := transfer.Select(t.Context(), transfer.Sources{Registry: client(t)}, wanted, transfer.SelectOptions{})
	var absent *transfer.AbsentError
	if !errors.As(err, &absent) || len(absent.Images) != 3 || !errors.Is(err, registry.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	at := -1
	for _, says := range []string{"does not have 3 images", "gone/a:1: ", "gone/b:2, which alpha, beta need: ", "gone/c:3: "} {
		next := strings.Index(err.Error(), says)
		if next <= at {
			t.Errorf("%q is not said, or not in its place:\n%v", says, err)
		}
		at = next
	}
	selection, err := transfer.Select(t.Context(), transfer.Sources{Registry: client(t)}, wanted, transfer.SelectOptions{SkipMissing: true})
	if err != nil || len(selection.Missing) != 3 || len(selection.Images) != 1 {
		t.Errorf("skipping what is missing: %v, missing %v", err, selection.Missing)
	}
}
