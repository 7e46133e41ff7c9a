package bundle

import (
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// Located is a member with its place in a volume.
type Located struct {
	Member
	// Offset and Length are those of the member's frames, in bytes.
	Offset, Length int64
}

// Locate returns where in the volume its members are, without those that it
// lacks because their blobs could not be had. Stored members have sizes that
// follow from the plan; those of compressed ones, and what is lacking, come from
// the inventory, or from the frame headers. An error is a [*DamageError] and comes
// with the members before the place where it is. The slice must not be changed.
func (b *Bundle) Locate(v *VolumeFile) ([]Located, error) {
	v.locate.Do(func() {
		v.located, v.locateErr = b.locateMembers(v)
		v.index = make(map[digest.Digest]int, len(v.located))
		for i, l := range v.located {
			if _, ok := v.index[l.Blob.Digest]; !ok {
				v.index[l.Blob.Digest] = i
			}
		}
	})
	return v.located, v.locateErr
}

// Unlocated returns the planned members of the volume that [Bundle.Locate] does
// not find: those that it lacks or, when Locate fails, those behind the damage
// too.
func (b *Bundle) Unlocated(v *VolumeFile) []Member {
	located, _ := b.Locate(v)
	var members []Member
	for _, m := range b.Prologue.plan.Members(v.Number) {
		if len(located) > 0 && located[0].Member == m {
			located = located[1:]
			continue
		}
		members = append(members, m)
	}
	return members
}

// Stated returns what the inventory says of a volume file or, when that is from
// before it was made again, an older inventory; nil when none says anything, or
// when the file is a volume that lacked something when the inventory was made and
// was made again since.
func (b *Bundle) Stated(v *VolumeFile) *Volume {
	if b.Inventory == nil {
		return nil
	}
	stated := b.Inventory.Volume(v.Number)
	if stated == nil || stated.Size == v.Size {
		return stated
	}
	for _, inv := range b.older {
		if old := inv.Volume(v.Number); old != nil && old.Size == v.Size {
			return old
		}
	}
	if len(stated.Members) < len(b.Prologue.plan.Members(v.Number)) {
		return nil
	}
	return stated
}

func (b *Bundle) locateMembers(v *VolumeFile) ([]Located, error) {
	members := b.Prologue.plan.Members(v.Number)
	stated := b.Stated(v)
	located := make([]Located, 0, len(members))
	if stated != nil {
		for next := 0; next < len(stated.Members); members = members[1:] {
			p := stated.Members[next]
			if m := members[0]; m.Blob.Digest == p.Digest && m.Start == p.Start {
				located = append(located, Located{Member: m, Offset: p.Offset, Length: p.Length})
				next++
			}
		}
		return located, nil
	}
	file, err := v.open()
	if err != nil {
		return located, err
	}
	defer file.Close() // it was only read
	lacking := b.mayLack(v, members)
	for offset := b.Prologue.size; len(members) > 0; members = members[1:] {
		if lacking {
			if members = members[b.skipped(file, offset, members):]; len(members) == 0 {
				break
			}
		}
		m := members[0]
		length := m.storedSize()
		if m.Blob.Compress {
			if length, err = skipMember(file, offset, m); err != nil {
				return located, v.damage(offset, err)
			}
		}
		located = append(located, Located{Member: m, Offset: offset, Length: length})
		offset += length
	}
	return located, nil
}

// mayLack reports whether a volume has another size than all of its members make
// together.
func (b *Bundle) mayLack(v *VolumeFile, members []Member) bool {
	size := b.Prologue.size + int64(len(endOfArchive()))
	for _, m := range members {
		if m.Blob.Compress {
			return true
		}
		size += m.storedSize()
	}
	return size != v.Size
}

// skipped returns how many of the members are not there because another of them,
// or the end of the volume, begins at offset. What begins there and is damaged is
// taken for the first.
func (b *Bundle) skipped(r io.ReaderAt, offset int64, members []Member) int {
	t := b.reader(r, offset, maxStoredFrame)
	defer b.readers.Put(t)
	if t.nextFrame() != nil {
		return 0
	}
	if len(t.rest) == 2*tarBlock && allZero(t.rest) == nil {
		return len(members)
	}
	var block [tarBlock]byte
	if _, err := io.ReadFull(t, block[:]); err != nil {
		return 0
	}
	name, _, err := parseTarHeader(block[:])
	if err != nil {
		return 0
	}
	for i, m := range members {
		if m.Name() == name {
			return i
		}
	}
	return 0
}

// skipMember adds up the frames of a member.
func skipMember(r io.ReaderAt, offset int64, m Member) (int64, error) {
	var length int64
	for left := tarBlock + padded(m.Size); left > 0; {
		n, content, err := skipFrame(r, offset+length)
		if err != nil {
			return 0, err
		}
		if content != min(left, frameContent) {
			return 0, fmt.Errorf("%w: %d bytes of content instead of %d", errFrame, content, min(left, frameContent))
		}
		length += n
		left -= content
	}
	return length, nil
}
