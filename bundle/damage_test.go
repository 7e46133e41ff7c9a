package bundle_test

import (
	"bytes"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"satchel/bundle"
	"satchel/verify"
)

// medium is a bundle in memory, of which damaged copies are made.
type medium map[string][]byte

func (m medium) with(name string, content []byte) medium {
	damaged := maps.Clone(m)
	damaged[name] = content
	return damaged
}

func (m medium) without(names ...string) medium {
	damaged := maps.Clone(m)
	for _, name := range names {
		delete(damaged, name)
	}
	return damaged
}

func (m medium) renamed(names map[string]string) medium {
	damaged := medium{}
	for name, content := range m {
		if to, ok := names[name]; ok {
			name = to
		}
		damaged[name] = content
	}
	return damaged
}

func (m medium) fs() fs.FS {
	files := fstest.MapFS{}
	for name, content := range m {
		files[name] = &fstest.MapFile{Data: content}
	}
	return files
}

// volumes are the names of the volumes in their order.
func (m medium) volumes() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.HasSuffix(name, ".tar.zst") {
			names = append(names, name)
		}
	}
	return names
}

// tiny is a bundle of one volume of a few KB with both kinds of members: the
// config is stored, the layer is compressed.
func tiny(t testing.TB) medium {
	s := newSource("tiny")
	s.add(t, "registry.example/tiny:1", layer{typeTar, bytes.Repeat([]byte("tiny "), 200)})
	dir := t.TempDir()
	s.write(t, dir, 100_000)
	return readFiles(t, dir)
}

// checkDamaged opens, verifies and reads a damaged copy. Verification must not
// say ok, and must name one of these files; no blob may end with wrong bytes.
func checkDamaged(t *testing.T, what string, m medium, names ...string) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: panic: %v", what, p)
		}
	}()
	b, err := bundle.Open(bundle.Medium{Name: "stick", FS: m.fs()})
	if err != nil {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(err.Error(), name) }) {
			t.Errorf("%s: opening: %v names none of %q", what, err, names)
		}
		return
	}
	defer b.Close()
	report := verify.Bundle(t.Context(), b, verify.Options{})
	if report.OK || report.Err() == nil {
		t.Errorf("%s: verification says ok", what)
	}
	if !named(report, names) {
		t.Errorf("%s: none of %q is named: findings %v, missing %v", what, names, report.Findings, report.MissingVolumes)
	}
	deliverBlobs(t, b)
}

// named reports whether a report names one of the files.
func named(report *verify.Report, names []string) bool {
	for _, f := range report.Findings {
		if slices.Contains(names, f.Volume) {
			return true
		}
	}
	for _, v := range report.Volumes {
		if slices.Contains(names, v.Name) && (v.State == verify.StateDamaged || v.State == verify.StateMissing) {
			return true
		}
	}
	return false
}

// each runs check for 0 ≤ i < n in steps, on a few goroutines that it waits for.
func each(n, step int, check func(i int)) {
	eachWith(n, step, func() struct{} { return struct{}{} }, func(_ struct{}, i int) { check(i) })
}

// eachWith is each with something that every goroutine has for itself.
func eachWith[T any](n, step int, begin func() T, check func(own T, i int)) {
	step *= slowdown
	var wg sync.WaitGroup
	defer wg.Wait()
	const workers = 4
	for w := range workers {
		wg.Go(func() {
			own := begin()
			for i := w * step; i < n; i += workers * step {
				check(own, i)
			}
		})
	}
}

// TestDamageEveryByte flips a bit of every byte of a volume, and of the
// inventory.
func TestDamageEveryByte(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	volume := m.volumes()[0]
	for _, name := range []string{volume, "inventory.json"} {
		each(len(m[name]), 1, func(i int) {
			damaged := bytes.Clone(m[name])
			damaged[i] ^= 1 << (i % 8)
			// Where the inventory says something else than a volume, either may
			// be named.
			checkDamaged(t, name+" flipped", m.with(name, damaged), name, volume)
		})
	}
}

// TestDamageWithoutInventory flips bits of a volume when nothing states its
// digest. What verification then passes must be right: bytes that no content
// depends on.
func TestDamageWithoutInventory(t *testing.T) {
	t.Parallel()
	m := tiny(t).without("inventory.json")
	volume := m.volumes()[0]
	each(len(m[volume]), 7, func(i int) {
		damaged := bytes.Clone(m[volume])
		damaged[i] ^= 1 << (i % 8)
		readAnything(t, m.with(volume, damaged).fs().(fstest.MapFS))
	})
}

// TestDamageTruncated cuts a volume at many lengths, and around the end of each
// frame.
func TestDamageTruncated(t *testing.T) {
	t.Parallel()
	m := tiny(t)
	volume := m.volumes()[0]
	check := func(n int) {
		checkDamaged(t, volume+" truncated", m.with(volume, m[volume][:n]), volume)
	}
	each(len(m[volume]), 5, check)
	for _, f := range listFrames(t, m[volume]) {
		for _, n := range []int{f.offset - 1, f.offset, f.offset + 1} {
			check(max(n, 0))
		}
	}
	checkDamaged(t, "one byte more", m.with(volume, append(bytes.Clone(m[volume]), 0)), volume)
	checkDamaged(t, "twice", m.with(volume, append(bytes.Clone(m[volume]), m[volume]...)), volume)
}

// TestDamageSampled damages the golden bundle here and there: extents, several
// volumes.
func TestDamageSampled(t *testing.T) {
	t.Parallel()
	m := medium(readFiles(t, goldenDir))
	for _, name := range m.volumes() {
		each(len(m[name]), 499, func(i int) {
			damaged := bytes.Clone(m[name])
			damaged[i] ^= 0x80
			checkDamaged(t, name+" flipped", m.with(name, damaged), name)
		})
		each(len(m[name]), 3011, func(n int) {
			checkDamaged(t, name+" truncated", m.with(name, m[name][:n]), name)
		})
		zeros := bytes.Clone(m[name])
		clear(zeros[len(zeros)/2:])
		checkDamaged(t, name+" zeroed from its middle on", m.with(name, zeros), name)
		checkDamaged(t, name+" empty", m.with(name, nil), name)
	}
}

// TestDamageFiles deletes, swaps, renames and replaces whole files.
func TestDamageFiles(t *testing.T) {
	t.Parallel()
	m := medium(readFiles(t, goldenDir))
	first, second, third := m.volumes()[0], m.volumes()[1], m.volumes()[2]
	for name, content := range m {
		// What lies beside the volumes is looked at too.
		if !strings.HasSuffix(name, ".tar.zst") {
			each(len(content), 173, func(i int) {
				damaged := bytes.Clone(content)
				damaged[i] ^= 1
				checkDamaged(t, name+" flipped", m.with(name, damaged), append(m.volumes(), name, "SHA256SUMS")...)
			})
		}
	}
	for _, name := range m.volumes() {
		checkDamaged(t, name+" deleted", m.without(name), name)
		checkDamaged(t, name+" and the inventory deleted", m.without(name, "inventory.json"), name)
	}
	checkDamaged(t, "all but one deleted", m.without(second, third), second, third)
	checkDamaged(t, "no volume", m.without(m.volumes()...), "stick")
	checkDamaged(t, "two swapped", m.renamed(map[string]string{first: second, second: first}), first, second)
	checkDamaged(t, "one renamed", m.renamed(map[string]string{second: "golden-0007.tar.zst"}), second, "golden-0007.tar.zst")
	checkDamaged(t, "one twice, another missing", m.with(second, m[first]), second)
	checkDamaged(t, "inventory deleted, two swapped",
		m.without("inventory.json").renamed(map[string]string{first: second, second: first}), first, second)

	s := mixed(t)
	s.selection.Name = "golden"
	dir := t.TempDir()
	s.write(t, dir, 1_000_000)
	other := medium(readFiles(t, dir))
	checkDamaged(t, "one of another bundle", m.with(second, other[second]), second)
	checkDamaged(t, "one of another bundle, no inventory", m.without("inventory.json").with(second, other[second]), second)
	checkDamaged(t, "one of another bundle beside it", m.with("golden-0004.tar.zst", other["golden-0004.tar.zst"]), "golden-0004.tar.zst")
	checkDamaged(t, "inventory of another bundle", m.with("inventory.json", other["inventory.json"]), "inventory.json")

	// The members of other volumes behind the right header.
	header := m[first][:1041]
	checkDamaged(t, "right header, other content", m.with(first, append(bytes.Clone(header), m[second][1041:]...)), first)
}

// TestDamageNamedVolume has garbage under names that could be a volume's.
func TestDamageNamedVolume(t *testing.T) {
	t.Parallel()
	m := medium(readFiles(t, goldenDir))
	for _, name := range []string{"golden-0000.tar.zst", "golden-0004.tar.zst", "golden-9999.tar.zst"} {
		checkDamaged(t, name, m.with(name, []byte("garbage")), name)
		checkDamaged(t, name+", no inventory", m.without("inventory.json").with(name, []byte("garbage")), name)
	}
}
