package bundle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// otherContent, otherPlan and otherManifest are what FORMAT.md says of plans and
// manifests, as far as a writer of volumes and inventory needs it.
type (
	otherContent struct {
		Digest    digest.Digest `json:"digest"`
		MediaType string        `json:"mediaType"`
		Size      int           `json:"size"`
	}
	otherPlan struct {
		// Attached is passed on as it is.
		Attached []any
		Blobs    []struct {
			otherContent
			Extents      []struct{ Size, Volume int }
			Held, Volume int
			Origin       struct{ Inline string }
		}
		Images []map[string]any
		// Of a manifest only the content is wanted.
		Manifests []otherContent
		Missing   []map[string]any
		Name      string
		Volumes   int
	}
	otherManifest struct {
		Config            otherContent
		Layers, Manifests []otherContent
	}
)

// otherEntry is a tar entry as FORMAT.md describes it, without archive/tar.
func otherEntry(name string, content []byte) []byte {
	header := make([]byte, 512)
	copy(header, name)
	copy(header[100:], "0000644\x000000000\x000000000\x00")
	copy(header[124:], fmt.Sprintf("%011o\x0000000000000\x00        0", len(content)))
	copy(header[257:], "ustar\x0000")
	copy(header[329:], "0000000\x000000000\x00")
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	entry := append(header, content...)
	return append(entry, make([]byte, (512-len(content)%512)%512)...)
}

// otherWriter writes the volumes of a plan and their inventory after FORMAT.md,
// with nothing of this package: every frame is stored.
func otherWriter(t testing.TB, planJSON []byte, s *source, index []byte, lacks ...digest.Digest) medium {
	t.Helper()
	var plan otherPlan
	if err := json.Unmarshal(planJSON, &plan); err != nil {
		t.Fatal(err)
	}
	files := medium{}
	volumes := []any{}
	for n := 1; n <= plan.Volumes; n++ {
		header := fmt.Sprintf(`{"count":%d,"name":%q,"number":%d,"plan":%q,"version":1}`+"\n",
			plan.Volumes, plan.Name, n, digest.FromBytes(planJSON))
		out := storedFrame(nil, otherEntry(fmt.Sprintf("satchel/volume-%04d.json", n), []byte(header)))
		out = storedFrame(out, otherEntry("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)))
		out = storedFrame(out, otherEntry("index.json", index))
		out = storedFrame(out, otherEntry("satchel/plan.json", planJSON))
		for _, m := range plan.Manifests {
			out = storedFrame(out, otherEntry("blobs/sha256/"+m.Digest.Encoded(), s.selection.Contents[m.Digest]))
		}
		members := []any{}
		put := func(b otherContent, name string, content []byte, start int) {
			frames := storedFrame(nil, otherEntry(name, content))
			member := map[string]any{"digest": b.Digest, "length": len(frames), "offset": len(out), "size": len(content)}
			if start > 0 {
				member["start"] = start
			}
			members, out = append(members, member), append(out, frames...)
		}
		for _, b := range plan.Blobs {
			content := s.blobs[b.Digest]
			if slices.Contains(lacks, b.Digest) {
				continue
			}
			if b.Origin.Inline != "" {
				// The plan is enough.
				var err error
				if content, err = base64.StdEncoding.DecodeString(b.Origin.Inline); err != nil {
					t.Fatal(err)
				}
			}
			if b.Volume == n {
				put(b.otherContent, "blobs/sha256/"+b.Digest.Encoded(), content, 0)
			}
			start := 0
			for k, e := range b.Extents {
				if e.Volume == n {
					name := fmt.Sprintf("satchel/extents/sha256-%s.%04d", b.Digest.Encoded(), k+1)
					put(b.otherContent, name, content[start:start+e.Size], start)
				}
				start += e.Size
			}
		}
		name := fmt.Sprintf("%s-%04d.tar.zst", plan.Name, n)
		files[name] = storedFrame(out, make([]byte, 1024))
		volumes = append(volumes, map[string]any{
			"digest": digest.FromBytes(files[name]), "members": members, "name": name, "number": n, "size": len(files[name]),
		})
	}
	inventory := otherInventory(t, plan, s, lacks)
	inventory["plan"], inventory["volumes"] = digest.FromBytes(planJSON), volumes
	var content bytes.Buffer
	encoder := json.NewEncoder(&content) // sorts the keys, and ends with a newline
	encoder.SetEscapeHTML(false)         // nothing else in it is spelt in two ways
	if err := encoder.Encode(inventory); err != nil {
		t.Fatal(err)
	}
	files["inventory.json"] = content.Bytes()
	return files
}

// otherInventory is the inventory but for what the volumes say.
func otherInventory(t testing.TB, plan otherPlan, s *source, lacks []digest.Digest) map[string]any {
	t.Helper()
	first := map[digest.Digest]int{} // the image, counted from 1, that needs a blob first
	missing := slices.Clone(plan.Missing)
	for i, image := range plan.Images {
		for _, blob := range otherBlobs(t, s, digest.Digest(image["root"].(map[string]any)["digest"].(string))) {
			incomplete := slices.Contains(lacks, blob) || slices.ContainsFunc(plan.Missing, func(m map[string]any) bool {
				return m["image"] == image["reference"]
			})
			if incomplete {
				image["incomplete"] = true
			}
			if first[blob] == 0 {
				first[blob] = i + 1
			}
		}
	}
	for _, d := range lacks {
		missing = append(missing, map[string]any{"digest": d, "image": plan.Images[first[d]-1]["reference"], "reason": "none"})
	}
	blobs := []any{}
	for _, b := range plan.Blobs {
		blob := map[string]any{"digest": b.Digest, "mediaType": b.MediaType, "size": b.Size}
		if first[b.Digest] > 0 {
			blob["image"] = first[b.Digest]
		}
		blobs = append(blobs, blob)
	}
	inventory := map[string]any{
		"blobs": blobs, "images": plan.Images, "manifests": plan.Manifests, "name": plan.Name, "version": 1,
	}
	if len(plan.Attached) > 0 {
		inventory["attached"] = plan.Attached
	}
	if len(missing) > 0 {
		inventory["missing"] = missing
	}
	return inventory
}

// otherBlobs returns the blobs that a manifest or index needs.
func otherBlobs(t testing.TB, s *source, root digest.Digest) []digest.Digest {
	t.Helper()
	content, ok := s.selection.Contents[root]
	if !ok {
		return nil // a child that was left out
	}
	var m otherManifest
	if err := json.Unmarshal(content, &m); err != nil {
		t.Fatal(err)
	}
	var blobs []digest.Digest
	for _, child := range m.Manifests {
		blobs = append(blobs, otherBlobs(t, s, child.Digest)...)
	}
	for _, blob := range append(m.Layers, m.Config) {
		if blob.Digest != "" {
			blobs = append(blobs, blob.Digest)
		}
	}
	return blobs
}

// entryContent returns the content of a tar entry.
func entryContent(t testing.TB, content []byte, name string) []byte {
	t.Helper()
	for len(content) >= 512 {
		var size int
		if _, err := fmt.Sscanf(string(content[124:135]), "%o", &size); err != nil {
			break
		}
		if bytes.HasPrefix(content, []byte(name+"\x00")) {
			return content[512 : 512+size]
		}
		content = content[512+(size+511)/512*512:]
	}
	t.Fatalf("no entry %s", name)
	return nil
}

// TestOtherWriter reads what a stranger wrote after FORMAT.md. The volume size
// is that of the largest volume, so an extent fills its volume to the last byte.
func TestOtherWriter(t *testing.T) {
	t.Parallel()
	for _, g := range goldens(t) {
		name := g.s.selection.Name
		golden := medium(readFiles(t, g.dir))
		index := entryContent(t, unframe(t, golden[golden.volumes()[0]]), "index.json")
		planJSON := golden[name+".plan.json"]
		largest := 0
		for range 3 { // the size of the plan hangs on the digits of the volume size
			for file, volume := range otherWriter(t, planJSON, g.s, index) {
				if filepath.Ext(file) == ".zst" {
					largest = max(largest, len(volume))
				}
			}
			var plan bundle.Plan
			if err := json.Unmarshal(planJSON, &plan); err != nil {
				t.Fatal(err)
			}
			plan.VolumeSize = int64(largest)
			var err error
			if planJSON, err = plan.Encode(); err != nil {
				t.Fatal(err)
			}
		}
		complete := otherWriter(t, planJSON, g.s, index)
		full := false
		for _, volume := range complete.volumes() {
			full = full || len(complete[volume]) == largest
		}
		if !full {
			t.Errorf("%s: no volume has %d bytes", name, largest)
		}
		checkOther(t, g.s, complete, len(g.s.blobs))
		if len(g.lacks) > 0 {
			partial := otherWriter(t, planJSON, g.s, index, g.lacks...)
			checkOther(t, g.s, partial, len(g.s.blobs)-len(g.lacks))
			checkOther(t, g.s, partial.without("inventory.json"), len(g.s.blobs)-len(g.lacks))
		}
	}
}

// checkOther reads what a stranger wrote, in which so many blobs must be whole.
func checkOther(t *testing.T, s *source, m medium, blobs int) {
	t.Helper()
	b, err := bundle.Open(bundle.Medium{Name: "other", FS: m.fs()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(b.Damage) > 0 || len(b.Missing()) > 0 || (b.Inventory == nil) != (m["inventory.json"] == nil) {
		t.Fatalf("%s: damage %v, missing %v, inventory %v", s.selection.Name, b.Damage, b.Missing(), b.Inventory)
	}
	for _, v := range b.Volumes {
		got, sum := scan(t, b, v)
		if len(got.damage) > 0 || sum != digest.FromBytes(m[v.Name]) {
			t.Errorf("%s: %v", v.Name, got.damage)
		}
	}
	if whole := deliverBlobs(t, b); whole != blobs {
		t.Errorf("%s: %d blobs of %d are whole", s.selection.Name, whole, blobs)
	}
}
