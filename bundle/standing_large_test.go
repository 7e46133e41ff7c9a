package bundle_test

import (
	"fmt"
	"slices"
	"testing"

	"satchel/bundle"
)

// TestStandingLarge reads members of several frames, stored and compressed.
func TestStandingLarge(t *testing.T) {
	const frame = 4 << 20
	s := newSource("large")
	s.add(t, "registry.example/a:1", layer{typeGzip, make([]byte, frame)}, layer{typeTar, make([]byte, frame)})
	_, prologue, err := bundle.NewPlan(s.selection, 20_000_000)
	if err != nil {
		t.Fatal(err)
	}
	dir := newDir(medium{})
	b := standing{s: s, prologue: prologue, m: dir.files}
	b.volumes = s.writeInto(t, dir, prologue).Volumes
	v := b.volumes[0]
	content := b.m[v.Name]
	for i, raw := range listFrames(t, content) {
		if i < 2 {
			continue // of the prologue
		}
		for _, end := range []int{raw.offset - 1, raw.offset, raw.offset + 1} {
			what := fmt.Sprintf("cut to %d bytes", end)
			m := medium{v.Name + ".part": content[:end]}
			part := read(t, b.reader(t), m, 1, false)
			members, size := b.wholeMembers(v, int64(end))
			checkStands(t, what, part, members, size)
			if size > 0 {
				b.resume(t, what, part, m)
			}
		}
		if int64(raw.offset) < b.prologue.Size() {
			continue
		}
		// Other frames with the same content.
		rest := content[raw.offset+len(raw.raw):]
		for what, frames := range map[string][]byte{
			"stored":     storedFrame(nil, raw.content),
			"compressed": compressed(t, raw.content),
			"split":      storedFrame(storedFrame(nil, raw.content[:256]), raw.content[256:]),
		} {
			other := slices.Concat(content[:raw.offset], frames, rest)
			if slices.Equal(other, content) {
				continue
			}
			m := medium{v.Name: other}
			final := read(t, b.reader(t), m, 1, true)
			members, size := b.wholeMembers(v, int64(raw.offset))
			checkStands(t, fmt.Sprintf("frame %d %s", i, what), final, members, size)
			if final.Complete || final.Damage == nil {
				t.Errorf("frame %d %s: complete", i, what)
			}
		}
	}
}
