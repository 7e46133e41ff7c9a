package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Finish writes the small files into each directory, the inventory last: with it
// the bundle is complete. missing are the blobs that no volume holds. It returns
// the bundle ID.
func Finish(dirs []Dir, p *Prologue, volumes []Volume, missing []Missing) (*Inventory, digest.Digest, error) {
	inv, err := NewInventory(p, volumes, missing)
	if err != nil {
		return nil, "", err
	}
	inventory, err := inv.Encode()
	if err != nil {
		return nil, "", err
	}
	if len(inventory) > MaxDocument {
		return nil, "", fmt.Errorf("inventory of %d bytes is larger than %d", len(inventory), MaxDocument)
	}
	id := idOf(inventory)
	readme := []byte(readme(inv, p.plan, id))
	sums := map[string]digest.Digest{
		inventoryName: id, p.plan.Name + planSuffix: p.planID, readmeName: digest.FromBytes(readme),
	}
	for _, v := range inv.Volumes {
		sums[v.Name] = v.Digest
	}
	for _, dir := range dirs {
		err := WritePlan(dir, p)
		for _, f := range []struct {
			name    string
			content []byte
		}{{readmeName, readme}, {sumsName, sumsFile(sums)}, {inventoryName, inventory}} {
			if err == nil {
				err = writeFile(dir, f.name, f.content)
			}
		}
		if err != nil {
			return nil, "", err
		}
	}
	return inv, id, nil
}

// PlanName returns the name of the plan's file of the bundle of that name.
func PlanName(name string) string { return name + planSuffix }

// WritePlan writes the plan's file: from then on, the directory tells what is
// being packed into it.
func WritePlan(dir Dir, p *Prologue) error {
	return writeFile(dir, p.plan.Name+planSuffix, p.planJSON)
}

// SmallFilesSize estimates in bytes what the files beside the volumes will take,
// from above.
func SmallFilesSize(p *Prologue) int64 {
	members := int64(0)
	for i := range p.plan.Blobs {
		members += int64(max(1, len(p.plan.Blobs[i].Extents)))
	}
	return 2*int64(len(p.planJSON)) + members*220 + int64(p.plan.Volumes)*400 + 16<<10
}

// sumsFile is in the form that sha256sum writes and checks.
func sumsFile(sums map[string]digest.Digest) []byte {
	var lines []string
	for name, d := range sums {
		lines = append(lines, d.Encoded()+"  "+name+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return []byte(strings.Join(lines, ""))
}

// readme is for whoever holds the medium and has never heard of satchel. Lines
// end as Windows' editors want them.
func readme(inv *Inventory, plan *Plan, id digest.Digest) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\r\n", args...) }
	line("This is the bundle %s: container images in %d volumes.", inv.Name, len(inv.Volumes))
	line("Bundle ID: %s", id)
	line("")
	line("The volumes may lie on several media. Every volume holds the list of all images.")
	line("")
	for _, v := range inv.Volumes {
		line("  %s  %d bytes", v.Name, v.Size)
	}
	if bundles := HeldBundles(plan); len(bundles) > 0 {
		line("")
		line("It leaves out what came to the site with: %s", strings.Join(bundles, ", "))
	}
	if len(inv.Missing) > 0 {
		line("")
		line("It is not complete; inventory.json says under \"missing\" what it lacks.")
	}
	line("")
	line("With satchel, DIR being this directory, and one more for each further medium:")
	line("")
	line("  satchel verify DIR                              is it whole?")
	line("  satchel inspect DIR                             what is in it?")
	line("  satchel unpack DIR --to REGISTRY/PREFIX         put the images into a registry")
	line("")
	line("Without satchel, in a directory with room for all of it (the first line names")
	line("where the media are; each line is one command, up to done):")
	line("")
	line("  media=\"/media/stick1 /media/stick2\"")
	line("  for m in $media; do (cd $m && sha256sum --ignore-missing -c SHA256SUMS); done")
	line("  mkdir layout")
	line("  for m in $media; do for v in $m/%s-*.tar.zst; do zstd -dc $v | tar -x -C layout; done; done", inv.Name)
	line("  cd layout")
	line("  for f in satchel/extents/*.0001; do")
	line("    [ -e $f ] || continue")
	line("    h=${f#satchel/extents/sha256-}; h=${h%%.0001}")
	line("    cat satchel/extents/sha256-$h.* > blobs/sha256/$h")
	line("  done")
	line("  for f in blobs/sha256/*; do echo \"${f##*/}  $f\"; done | sha256sum --quiet -c")
	line("  cd ..")
	line("")
	line("The second line says of each volume that is here whether it is whole; compare")
	line("with the list above which are not here. The last but one says nothing when every")
	line("blob is right. Now there is an OCI image layout, whose index.json names the")
	line("images. For an image whose mediaType there is application/vnd.oci...:")
	line("")
	line("  skopeo copy --all oci:layout:REFERENCE docker://REGISTRY/NAME:TAG")
	line("")
	line("For any other, keep in index.json only its entry, without the annotations:")
	line("")
	line("  skopeo copy --all oci:layout docker://REGISTRY/NAME:TAG")
	line("")
	line("For a registry without HTTPS add --dest-tls-verify=false.")
	return s.String()
}

// HeldBundles names the bundles on which a plan leans, each once, in the order
// in which they were named.
func HeldBundles(p *Plan) []string {
	var names []string
	for _, h := range p.Held {
		if !slices.Contains(names, h.Name) {
			names = append(names, h.Name)
		}
	}
	return names
}

// IsFinalName reports whether a file of that name is a finished part of some
// bundle.
func IsFinalName(name string) bool {
	return name == inventoryName || name == sumsName || name == readmeName || strings.HasSuffix(name, planSuffix) || volumePattern.MatchString(name)
}
