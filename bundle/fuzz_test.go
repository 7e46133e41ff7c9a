package bundle_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/verify"
)

// seeds returns the files of the golden bundles whose names end so. Fuzzing
// without seeds would find nothing, so they must be there.
func seeds(f testing.TB, suffix string) [][]byte {
	f.Helper()
	var found [][]byte
	for _, dir := range goldenDirs() {
		files := readFiles(f, dir)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if strings.HasSuffix(name, suffix) {
				found = append(found, files[name])
			}
		}
	}
	if len(found) < 2 {
		f.Fatalf("no seeds %s", suffix)
	}
	return found
}

func FuzzParsePlan(f *testing.F) {
	for _, plan := range seeds(f, ".plan.json") {
		f.Add(plan)
	}
	f.Add([]byte(`{"blobs":[],"encoder":"","images":[],"manifests":[],"name":"a","request":{},"version":1,"volumeSize":1,"volumes":1}` + "\n"))
	if _, err := bundle.ParsePlan([]byte(smallPlan)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(smallPlan))
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, err := bundle.ParsePlan(data)
		if err != nil {
			return
		}
		again, err := plan.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("encoded again: %v\n%s", err, again)
		}
		checkBelongs(t, plan)
		for n := 1; n <= min(plan.Volumes, 4); n++ {
			for _, m := range plan.Members(n) {
				if m.Size < 0 || m.Start < 0 || m.Start+m.Size > m.Blob.Size || m.Name() == "" {
					t.Fatalf("member %s: %d bytes at %d of %d", m.Name(), m.Size, m.Start, m.Blob.Size)
				}
			}
		}
	})
}

// smallPlan has what attaches things in as few bytes as that takes.
const smallPlan = `{"attached":[{"annotations":{"a":"b"},"content":{"digest":"sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",` +
	`"mediaType":"a/b","size":1},"subject":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","type":"t"}],` +
	`"blobs":[{"digest":"sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d","mediaType":"a/b","origin":{"inline":"AA=="},"size":1,"volume":1}],` +
	`"encoder":"","held":[{"name":"a","part":"component","plan":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","reference":"a.b/c:d"}],` +
	`"images":[{"part":"release","reference":"a.b/c:d","root":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",` +
	`"mediaType":"application/vnd.oci.image.index.v1+json","size":2}},{"attachedTo":"a.b/c:d","destinations":["c:d","c:e"],"reference":"a.b/c:sha256-0000000000000000000000000000000000000000000000000000000000000000.sig",` +
	`"root":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"application/vnd.oci.image.index.v1+json","size":2}}],` +
	`"manifests":[{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"application/vnd.oci.image.index.v1+json",` +
	`"origin":{"local":"a"},"size":2}],"name":"a","request":{"channel":"a","noAttachments":true,"releases":["a.b/c:d"],"unsigned":true},` +
	`"version":1,"volumeSize":9999,"volumes":1}` + "\n"

// checkBelongs checks what readers rely on when they act on a plan: what is
// attached is there, and is attached to something; inline bytes are their blob.
func checkBelongs(t *testing.T, plan *bundle.Plan) {
	t.Helper()
	sizes := map[digest.Digest]int64{}
	manifests, images := map[digest.Digest]bool{"": true}, map[string]bool{"": true}
	for i := range plan.Blobs {
		b := &plan.Blobs[i]
		sizes[b.Digest] = b.Size
		if content := b.Origin.Inline; content != nil && (digest.FromBytes(content) != b.Digest || len(content) > bundle.MaxInline || b.Held != 0) {
			t.Fatalf("blob %s: %d bytes in the plan, held by %d", b.Digest, len(content), b.Held)
		}
	}
	for _, m := range plan.Manifests {
		manifests[m.Digest], sizes[m.Digest] = true, m.Size
	}
	for _, a := range plan.Attached {
		if size, ok := sizes[a.Content.Digest]; !ok || size != a.Content.Size || !manifests[a.Subject] || len(a.Annotations) > 16 {
			t.Fatalf("attached is %+v", a)
		}
	}
	for _, image := range plan.Images {
		images[image.Reference] = image.AttachedTo == ""
	}
	for _, image := range plan.Images {
		path := ""
		for _, d := range image.Destinations {
			before, tag, _ := strings.Cut(d, ":")
			if path != "" && before != path || tag == "" || !fs.ValidPath(before) || before == "." {
				t.Fatalf("image %s goes to %q", image.Reference, image.Destinations)
			}
			path = before
		}
		if !images[image.AttachedTo] {
			t.Fatalf("image %s is attached to %q", image.Reference, image.AttachedTo)
		}
	}
}

func FuzzParseInventory(f *testing.F) {
	for _, inventory := range seeds(f, "inventory.json") {
		f.Add(inventory)
	}
	f.Add([]byte(`{"attached":[{"annotations":{"a":"b"},"content":{"digest":"","mediaType":"","size":0},"type":"t"}],` +
		`"blobs":[],"images":[],"manifests":[],"missing":[{"digest":"","reason":"r"}],"name":"a",` +
		`"plan":"sha256:` + strings.Repeat("0", 64) + `","version":1,"volumes":[]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := bundle.ParseInventory(data)
		if err != nil {
			return
		}
		again, err := inv.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("encoded again: %v\n%s", err, again)
		}
	})
}

// FuzzOpen opens, verifies and reads a volume of any bytes. With reframe they
// are the content of a volume, which the test puts into frames with the right
// checksums, under a header with the right plan ID, so that what lies behind
// these is reached.
func FuzzOpen(f *testing.F) {
	for _, volume := range seeds(f, ".tar.zst") {
		f.Add(volume, false)
		f.Add(volume[:len(volume)/2], false)
		f.Add(unframe(f, volume), true)
	}
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, reframe bool) {
		if reframe {
			data = frameAgain(data)
		}
		readAnything(t, fstest.MapFS{"golden-0001.tar.zst": {Data: data}})
	})
}

// TestReframe checks that the way that FuzzOpen takes leads behind the
// checksums.
func TestReframe(t *testing.T) {
	s := mixed(t)
	dir := t.TempDir()
	s.write(t, dir, 10_000_000)
	volume := readFiles(t, dir)["mixed-0001.tar.zst"]
	again := frameAgain(unframe(t, volume))
	fsys := fstest.MapFS{"mixed-0001.tar.zst": {Data: again}}
	if report := readAnything(t, fsys); report == nil || !report.OK {
		t.Errorf("report on the same content: %+v", report)
	}
}

// readAnything opens media and reads all that they hold. Whatever their bytes
// are, no blob comes to its end with other bytes than its digest says.
func readAnything(t *testing.T, fsys fstest.MapFS) *verify.Report {
	t.Helper()
	b, err := bundle.Open(bundle.Medium{Name: "medium", FS: fsys})
	if err != nil {
		return nil
	}
	defer b.Close()
	report := verify.Bundle(t.Context(), b, verify.Options{})
	verify.Bundle(t.Context(), b, verify.Options{Quick: true})
	whole := deliverBlobs(t, b)
	if report.OK && b.Prologue == nil {
		t.Fatal("report is ok without a prologue")
	}
	if report.OK && whole != placed(b.Prologue.Plan()) {
		t.Errorf("report is ok, %d blobs of %d are", whole, placed(b.Prologue.Plan()))
	}
	return report
}

// placed is how many blobs of a plan its volumes should hold.
func placed(plan *bundle.Plan) int {
	n := 0
	for i := range plan.Blobs {
		if plan.Blobs[i].Held == 0 {
			n++
		}
	}
	return n
}

// deliverBlobs reads every blob and returns how many came to their end, which
// none may with wrong bytes.
func deliverBlobs(t *testing.T, b *bundle.Bundle) (whole int) {
	t.Helper()
	if b.Prologue == nil {
		return 0
	}
	plan := b.Prologue.Plan()
	for i := range plan.Blobs {
		blob := &plan.Blobs[i]
		r, err := b.Blob(context.Background(), blob, 0)
		if err != nil {
			continue
		}
		verifier := digest.SHA256.Digester()
		n, err := io.Copy(verifier.Hash(), r)
		if err == nil {
			whole++
			if n != blob.Size || verifier.Digest() != blob.Digest {
				t.Errorf("blob %s of %d bytes came to its end as %s of %d", blob.Digest, blob.Size, verifier.Digest(), n)
			}
		} else if damage := (*bundle.DamageError)(nil); !errors.As(err, &damage) {
			t.Errorf("blob %s: %v is no damage", blob.Digest, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	return whole
}

// unframe returns the tar that a volume holds.
func unframe(t testing.TB, volume []byte) []byte {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	content, err := decoder.DecodeAll(volume, nil)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// frameAgain puts every tar entry into stored frames of its own, and the ID of
// the plan that it comes across into the volume header.
func frameAgain(content []byte) []byte {
	const block, planName = 512, "satchel/plan.json"
	entries := [][]byte{}
	for len(content) > 0 {
		size, n := len(content), 0
		if len(content) > block && content[0] != 0 {
			octal := strings.Trim(string(content[124:136]), " \x00")
			if v, err := strconv.ParseUint(octal, 8, 30); err == nil {
				n = min(int(v), len(content)-block)
				size = min(block+(n+block-1)/block*block, len(content))
			}
		}
		entry := bytes.Clone(content[:size])
		content = content[size:]
		if len(entries) > 0 && bytes.HasPrefix(entry, []byte(planName+"\x00")) {
			plan := entry[min(block, size):min(block+n, size)]
			if at := bytes.Index(entries[0], []byte(`"plan":"sha256:`)); at >= 0 {
				copy(entries[0][at+len(`"plan":"`):], digest.FromBytes(plan))
			}
		}
		entries = append(entries, entry)
	}
	var out []byte
	for _, entry := range entries {
		for len(entry) > 0 {
			n := min(len(entry), 4<<20)
			out, entry = storedFrame(out, entry[:n]), entry[n:]
		}
	}
	return out
}

// storedFrame appends a stored frame, written after FORMAT.md.
func storedFrame(out, content []byte) []byte {
	out = append(out, 0x28, 0xB5, 0x2F, 0xFD, 0x84, 0x38)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(content)))
	sum := uint32(xxhash.Sum64(content))
	for len(content) > 0 {
		n := min(len(content), 128<<10)
		header := uint32(n) << 3
		if n == len(content) {
			header |= 1
		}
		out = append(out, byte(header), byte(header>>8), byte(header>>16))
		out = append(out, content[:n]...)
		content = content[n:]
	}
	return binary.LittleEndian.AppendUint32(out, sum)
}
