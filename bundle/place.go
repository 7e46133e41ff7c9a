package bundle

import (
	"cmp"
	"fmt"
	"slices"
)

// minFirstExtent is the least room in bytes of content that is worth beginning a
// cut blob in; with less, it begins in a new volume.
const minFirstExtent = 1 << 20

// place decides which volume holds what. groups are the blobs that each image
// adds, in order; capacity is what a volume holds of members, in bytes. It sets
// Volume or Extents of every blob and returns the number of volumes, and whether
// cut blobs must come first in the plan's order.
//
// Three ways are tried, all first fit: whole images, so that the first media are
// useful first; single blobs in their order; and single blobs, the largest
// first. An earlier one wins as long as it costs no more than one volume above
// the least that the bytes need; else the one with the fewest volumes.
func place(groups [][]*Blob, capacity int64) (volumes int, cutFirst bool, err error) {
	var total int64
	var blobs []*Blob
	for _, group := range groups {
		for _, b := range group {
			total += memberSize(b.Size)
		}
		blobs = append(blobs, group...)
	}
	least := int((total + capacity - 1) / capacity)
	ways := []func(*placer) error{
		func(p *placer) error { return p.putImages(groups) },
		func(p *placer) error { return p.putBlobs(blobs) },
		func(p *placer) error { return p.putBlobs(largestFirst(blobs, capacity)) },
	}
	fewest, best := 0, -1
	for i, way := range ways {
		p := placer{capacity: capacity}
		if err := way(&p); err != nil {
			return 0, false, err
		}
		if n := max(len(p.free), 1); best < 0 || n < fewest {
			fewest, best = n, i
		}
		if fewest <= least+1 {
			break
		}
	}
	// The last way that was tried need not be the one that won.
	p := placer{capacity: capacity}
	return fewest, best == len(ways)-1, ways[best](&p)
}

// largestFirst orders blobs for first fit: those that are cut come first, in
// their order, since each of them must follow the one before.
func largestFirst(blobs []*Blob, capacity int64) []*Blob {
	sorted := slices.Clone(blobs)
	slices.SortStableFunc(sorted, func(a, b *Blob) int {
		cutA, cutB := mustCut(a, capacity), mustCut(b, capacity)
		switch {
		case cutA && cutB:
			return 0
		case cutA != cutB:
			if cutA {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Size, a.Size)
	})
	return sorted
}

// mustCut reports whether the blob is too large to be whole in a volume.
func mustCut(b *Blob, capacity int64) bool {
	return memberSize(b.Size) > capacity || b.Size > MaxMember
}

// sortCutFirst orders the blobs of a plan so that no member stands between the
// extents of a cut blob, where larger blobs were placed before earlier ones.
func sortCutFirst(blobs []Blob) {
	slices.SortStableFunc(blobs, func(a, b Blob) int {
		switch cutA, cutB := len(a.Extents) > 0, len(b.Extents) > 0; {
		case cutA == cutB:
			return 0
		case cutA:
			return -1
		}
		return 1
	})
}

// placer fills volumes; free is the room in bytes that each has left.
type placer struct {
	capacity int64
	free     []int64
}

func (p *placer) putImages(groups [][]*Blob) error {
	for _, group := range groups {
		if err := p.putImage(group); err != nil {
			return err
		}
	}
	return nil
}

func (p *placer) putBlobs(blobs []*Blob) error {
	for _, b := range blobs {
		if err := p.put(b); err != nil {
			return err
		}
	}
	return nil
}

// putImage puts what an image adds into one volume where that is possible.
func (p *placer) putImage(group []*Blob) error {
	var total int64
	for _, b := range group {
		total += memberSize(b.Size)
	}
	if total == 0 {
		return nil
	}
	if total > p.capacity || slices.ContainsFunc(group, func(b *Blob) bool { return mustCut(b, p.capacity) }) {
		return p.putBlobs(group)
	}
	v, err := p.room(total)
	if err != nil {
		return err
	}
	for _, b := range group {
		b.Volume, b.Extents = v+1, nil
		p.free[v] -= memberSize(b.Size)
	}
	return nil
}

func (p *placer) put(b *Blob) error {
	if mustCut(b, p.capacity) {
		return p.cut(b)
	}
	size := memberSize(b.Size)
	v, err := p.room(size)
	if err != nil {
		return err
	}
	b.Volume, b.Extents = v+1, nil
	p.free[v] -= size
	return nil
}

// room returns the first volume with so much room, a new one if there is none.
func (p *placer) room(size int64) (int, error) {
	for v, free := range p.free {
		if free >= size {
			return v, nil
		}
	}
	return p.open()
}

func (p *placer) open() (int, error) {
	if len(p.free) == MaxVolumes {
		return 0, fmt.Errorf("more than %d volumes: choose a larger volume size", MaxVolumes)
	}
	p.free = append(p.free, p.capacity)
	return len(p.free) - 1, nil
}

// cut begins the blob in the last volume and lets nothing stand between its
// extents: a volume in which the blob goes on in the next is full.
func (p *placer) cut(b *Blob) error {
	b.Volume, b.Extents = 0, nil
	v := len(p.free) - 1
	if v < 0 || memberFit(p.free[v]) < minFirstExtent {
		v = -1
	}
	for left := b.Size; left > 0; {
		if v < 0 {
			var err error
			if v, err = p.open(); err != nil {
				return err
			}
		}
		size := min(left, memberFit(p.free[v]), MaxMember)
		if size == 0 {
			p.free[v], v = 0, -1
			continue
		}
		b.Extents = append(b.Extents, Extent{Size: size, Volume: v + 1})
		p.free[v] -= memberSize(size)
		left -= size
	}
	return nil
}
