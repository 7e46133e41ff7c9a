package bundle

import "fmt"

// minFirstExtent is the least room in bytes of content that is worth beginning a
// cut blob in; with less, it begins in a new volume.
const minFirstExtent = 1 << 20

// place decides which volume holds what. groups are the blobs that each image
// adds, in order; capacity is what a volume holds of members, in bytes. It sets
// Volume or Extents of every blob and returns the number of volumes.
//
// Two ways are tried, both first fit: whole images, so that the first media are
// useful first, and single blobs. Images win as long as they cost no more than
// one volume above the least that the bytes need.
func place(groups [][]*Blob, capacity int64) (int, error) {
	var total int64
	for _, group := range groups {
		for _, b := range group {
			total += memberSize(b.Size)
		}
	}
	least := int((total + capacity - 1) / capacity)
	together := placer{capacity: capacity}
	for _, group := range groups {
		if err := together.putImage(group); err != nil {
			return 0, err
		}
	}
	if len(together.free) <= least+1 {
		return max(len(together.free), 1), nil
	}
	single := placer{capacity: capacity}
	for _, group := range groups {
		for _, b := range group {
			if err := single.put(b); err != nil {
				return 0, err
			}
		}
	}
	return max(len(single.free), 1), nil
}

// placer fills volumes; free is the room in bytes that each has left.
type placer struct {
	capacity int64
	free     []int64
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
	if total > p.capacity {
		for _, b := range group {
			if err := p.put(b); err != nil {
				return err
			}
		}
		return nil
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
	size := memberSize(b.Size)
	if size > p.capacity || b.Size > MaxMember {
		return p.cut(b)
	}
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
