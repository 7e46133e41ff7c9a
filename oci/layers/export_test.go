package layers

import (
	"context"
	"io"

	"satchel/oci"
)

// WalkLimited is Walk with limits that tests can reach.
func WalkLimited(ctx context.Context, open Open, layer oci.Descriptor, entries int, expanded int64, visit func(Entry, io.Reader) error) error {
	return walk(ctx, open, layer, limits{entries: entries, expanded: expanded}, visit)
}

// LimitListing bounds what a tree keeps of names.
func LimitListing(t *Tree, bytes int) { t.left = bytes }
