package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// stand is what stands of a volume on a medium that is there.
type stand struct {
	*bundle.Standing
	output  int // index of the medium
	members map[memberKey]bool
}

type memberKey struct {
	blob  digest.Digest
	start int64
}

// holds reports whether a member of the volume stands.
func (s *stand) holds(m bundle.Member) bool {
	if s == nil {
		return false
	}
	if s.members == nil {
		s.members = make(map[memberKey]bool, len(s.Volume.Members))
		for _, p := range s.Volume.Members {
			s.members[memberKey{p.Digest, p.Start}] = true
		}
	}
	return s.members[memberKey{m.Blob.Digest, m.Start}]
}

// cutBack takes back what stands of a blob at the end of the volume.
func (s *stand) cutBack(b *bundle.Blob) {
	if s != nil {
		s.CutBack(b)
		s.members = nil
	}
}

// survey reads what stands on the media that are there, in the order of the
// volumes, and notes which are done and which can be gone on with. It is the
// whole memory of a run that continues another.
func (p *packer) survey(ctx context.Context) error {
	p.stands = make(map[int]*stand)
	reader, err := bundle.NewReader(p.prologue, func(n int64) { p.tell(Event{Kind: BytesChecked, Bytes: n}) })
	if err != nil {
		return err
	}
	defer reader.Close()
	reader.KeepLacks = p.options.KeepGoing || p.options.SkipMissing
	names, total, err := p.list()
	if err != nil {
		return err
	}
	for _, o := range p.all {
		inventory, id, err := bundle.ReadInventory(o.medium(), p.prologue)
		if err != nil {
			return err
		}
		if inventory != nil && (p.inventory == nil || len(inventory.Missing) < len(p.inventory.Missing)) {
			p.inventory, p.inventoryID = inventory, id
		}
	}
	if total > 0 {
		p.tell(Event{Kind: Checking, Bytes: total})
	}
	for n := 1; n <= p.prologue.Plan().Volumes && total > 0; n++ {
		for i := range p.all {
			if err := p.read(ctx, reader, names[i], i, n); err != nil {
				return err
			}
		}
	}
	for _, cut := range p.cuts {
		for _, b := range cut {
			if reader.Right(b) {
				p.sums[b.Digest] = reader.Sums(b)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(p.stands)) {
		if s := p.stands[n]; s.Final {
			p.finished(n, s)
		}
		for _, m := range p.prologue.Plan().Members(n) {
			if s := p.stands[n]; m.Extent > 0 && s.holds(m) {
				p.held[memberKey{m.Blob.Digest, m.Start}] = s.Sums[m.Name()]
			}
		}
	}
	p.sumUp()
	return nil
}

// sumUp notes which blobs are left out: by this run, and by volumes that stay as
// they are.
func (p *packer) sumUp() {
	p.gone = maps.Clone(p.gaveUp)
	for n, lacks := range p.lacks {
		p.leaveOut(lacks, "it was left out when "+p.prologue.Plan().VolumeName(n)+" was made")
	}
	for _, s := range p.stands {
		if !s.Final {
			p.leaveOut(s.Lacks, "it was left out by an earlier run")
		}
	}
}

// list returns the names on each medium, and how many bytes the files of volumes
// have, finished or not.
func (p *packer) list() (names []map[string]bool, total int64, err error) {
	plan := p.prologue.Plan()
	for _, o := range p.all {
		entries, err := fs.ReadDir(o.Dir.FS(), ".")
		if err != nil {
			return nil, 0, fmt.Errorf("listing %s: %w", o.Name, err)
		}
		there := make(map[string]bool)
		for _, e := range entries {
			// A link is no volume, wherever it leads.
			if n, ok := bundle.VolumeNumber(e.Name()); !ok || !e.Type().IsRegular() || strings.TrimSuffix(e.Name(), ".part") != plan.VolumeName(n) {
				continue
			}
			if info, err := e.Info(); err == nil {
				total += info.Size()
			}
			there[e.Name()] = true
		}
		names = append(names, there)
	}
	return names, total, nil
}

// read reads volume n on medium i: under its final name or, when it is not whole
// there, unfinished. A whole one on a medium before it wins.
func (p *packer) read(ctx context.Context, reader *bundle.Reader, names map[string]bool, i, n int) error {
	if s := p.stands[n]; s != nil && s.Final && len(s.Lacks) == 0 {
		return nil
	}
	for _, final := range []bool{true, false} {
		if !names[bundle.FileName(p.prologue.Plan(), n, final)] {
			continue
		}
		if p.options.ReadBack {
			// What the system keeps in memory says nothing about the medium. That it
			// cannot be made to forget is said where volumes are read back.
			_ = p.all[i].Dir.Uncache(bundle.FileName(p.prologue.Plan(), n, final))
		}
		s, err := reader.Read(ctx, p.all[i].Dir.FS(), n, final)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		if wrong := (*bundle.WrongBlobError)(nil); errors.As(s.Damage, &wrong) {
			p.spoil(wrong.Blob, n)
		}
		if final && !s.Complete {
			p.damaged = append(p.damaged, s.Volume.Name+" on "+p.all[i].Name)
			p.tell(Event{Kind: VolumeDamaged, Volume: s.Volume.Name, Where: p.all[i].Name, Err: s.Damage})
			continue
		}
		if best := p.stands[n]; s.Volume.Size > 0 && (best == nil || final && (!best.Final || len(s.Lacks) < len(best.Lacks))) {
			p.stands[n] = &stand{Standing: s, output: i}
		}
		if final {
			return nil
		}
	}
	return nil
}

// spoil takes back the extents of a blob that stand in volumes before n: it was
// found wrong there.
func (p *packer) spoil(b *bundle.Blob, n int) {
	for _, k := range b.VolumesOf() {
		s := p.stands[k]
		if k >= n || s == nil {
			continue
		}
		s.cutBack(b)
		if s.Final {
			p.damaged = append(p.damaged, s.Volume.Name+" on "+p.all[s.output].Name)
			p.tell(Event{Kind: VolumeDamaged, Volume: s.Volume.Name, Where: p.all[s.output].Name,
				Err: fmt.Errorf("it holds a part of blob %s, which is wrong", b.Digest)})
			delete(p.stands, k)
			delete(p.done, k)
			delete(p.lacks, k)
		}
	}
}

// finished notes a volume that is done, unless one that lacks less is known, or it
// lacks something and is to be made again.
func (p *packer) finished(n int, s *stand) {
	_, known := p.done[n]
	if known && len(p.lacks[n]) < len(s.Lacks) {
		delete(p.stands, n)
		return
	}
	if len(s.Lacks) > 0 && slices.Contains(p.options.Only, n) {
		p.old[n] = s
		delete(p.stands, n)
		return
	}
	if !known {
		p.tell(Event{Kind: VolumeKept, Volume: s.Volume.Name, Where: p.all[s.output].Name, Bytes: s.Volume.Size, Digest: s.Volume.Digest})
	}
	p.done[n], p.lacks[n] = s.Volume, s.Lacks
}

// leaveOut notes blobs that volumes which stay as they are lack, so that the
// others lack them too. An inventory knows why.
func (p *packer) leaveOut(lacks []bundle.Member, reason string) {
	for _, m := range lacks {
		if _, ok := p.gone[m.Blob.Digest]; !ok {
			if p.inventory != nil {
				for _, known := range p.inventory.Missing {
					if known.Digest == m.Blob.Digest {
						reason = known.Reason
					}
				}
			}
			p.gone[m.Blob.Digest] = bundle.Missing{Digest: m.Blob.Digest, Image: p.images[m.Blob.Digest], Reason: reason}
		}
	}
}
