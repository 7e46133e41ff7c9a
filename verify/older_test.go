package verify_test

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/verify"
)

// Volumes from before others were made again are no damage beside these and the
// newer inventory, and what can be read is ok only if it can be read.
func TestOlderVolumes(t *testing.T) {
	p := newPacking(t, nil, images()...)
	whole := p.all(nil)
	for i := range p.prologue.Plan().Blobs {
		b := &p.prologue.Plan().Blobs[i]
		if b.Size == 0 || i%slowdown != 0 && len(b.Extents) == 0 {
			continue
		}
		old := p.all(map[digest.Digest]string{b.Digest: reason})
		for _, newer := range []made{whole, whole.with("inventory.json", "")} {
			for _, media := range [][]made{{old, newer}, {newer, old}} {
				r := check(t, verify.Options{}, media...)
				opened := open(t, media...)
				if !r.OK || len(r.Findings) > 0 || !readable(t, opened, opened.Prologue.Blob(b.Digest)) {
					t.Errorf("blob %d: %v, %+v", i, r.Err(), r.Findings)
				}
			}
		}
	}
}
