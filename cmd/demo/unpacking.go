package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
)

// receipt is what the demo reads of the file that unpack --receipt writes.
type receipt struct {
	Images []struct {
		Destination, State string
		Digest             digest.Digest
	}
	Blobs struct{ Pushed, Present, Mounted, Copied int }
}

func (j *journey) unpack(ctx context.Context) error {
	j.pen.title("Unpacking at the site")
	j.pen.say(`The stick has arrived. Satchel reads it in one pass, and pushes to the site's registry, below "%s". An image gets its tag when all of it is there,
not before. With --quiet only the result is shown; --receipt keeps it in a file.`, prefix)
	r, err := j.replay(ctx, "pushed")
	if err != nil {
		return err
	}
	if r.Blobs.Pushed == 0 || r.Blobs.Present != 0 {
		return fmt.Errorf("receipt: got %d blobs pushed and %d that were there, want all pushed to an empty registry",
			r.Blobs.Pushed, r.Blobs.Present)
	}
	j.pen.say(`"Mounted" are layers that the registry had already, below another name: it was
told so, and got no bytes.`)
	return nil
}

func (j *journey) again(ctx context.Context) error {
	before, err := snapshot(j.path("site"))
	if err != nil {
		return err
	}
	j.pen.title("Once more")
	j.pen.say(`What if someone pulled the plug halfway? The same command again. Satchel asks the
registry what it has and sends the rest; here, nothing is left to send:`)
	r, err := j.replay(ctx, "present")
	if err != nil {
		return err
	}
	if b := r.Blobs; b.Pushed != 0 || b.Copied != 0 {
		return fmt.Errorf("receipt: unpacking again pushed %d and copied %d blobs, want none", b.Pushed, b.Copied)
	}
	after, err := snapshot(j.path("site"))
	if err != nil {
		return err
	}
	if len(before) == 0 || !maps.Equal(before, after) {
		return fmt.Errorf("storage of the site: it held %d blobs and holds %d; unpacking again wrote some", len(before), len(after))
	}
	j.pen.say(`That is what satchel says. The registry's storage says so too: of the %d files
that hold its blobs and manifests none was written.`, len(before))
	return nil
}

// replay unpacks and checks the receipt: every image in the state, where it
// should be, and every blob accounted for once for each repository.
func (j *journey) replay(ctx context.Context, state string) (*receipt, error) {
	args := []string{"unpack", stick, "--to", j.site.Addr() + "/" + prefix, "--receipt", "receipt.json", "--tls-verify=false", "--quiet"}
	if _, err := j.satchel(ctx, call{args: args}); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(j.path("receipt.json"))
	if err != nil {
		return nil, err
	}
	r := new(receipt)
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if len(r.Images) != len(j.images) {
		return nil, fmt.Errorf("receipt: got %d images, want %d", len(r.Images), len(j.images))
	}
	for i, image := range j.images {
		repository, tag := destination(image)
		want := j.site.Addr() + "/" + repository + ":" + tag
		if got := r.Images[i]; got.Destination != want || got.Digest != image.Root.Digest || got.State != state {
			return nil, fmt.Errorf("receipt: got %s %s %s, want %s %s %s",
				got.Destination, got.Digest, got.State, want, image.Root.Digest, state)
		}
	}
	_, blobs := contents(j.images)
	if got := r.Blobs.Pushed + r.Blobs.Present + r.Blobs.Mounted + r.Blobs.Copied; got != blobs {
		return nil, fmt.Errorf("receipt: it accounts for %d blobs, want %d", got, blobs)
	}
	return r, nil
}

// destination is where an image should be at the site. What has no tag gets one
// of its digest, since registries may collect what has none.
func destination(image fixtures.Image) (repository, tag string) {
	if image.Tag == "" {
		return prefix + "/" + image.Repository, "digest-" + image.Root.Digest.Encoded()
	}
	return prefix + "/" + image.Repository, image.Tag
}

// contents counts manifests and blobs, each once for each repository.
func contents(images []fixtures.Image) (manifests, blobs int) {
	type place struct {
		repository string
		digest     digest.Digest
	}
	m, b := make(map[place]bool), make(map[place]bool)
	for _, image := range images {
		for _, c := range image.Manifests {
			m[place{image.Repository, c.Descriptor.Digest}] = true
		}
		for _, c := range image.Blobs {
			b[place{image.Repository, c.Descriptor.Digest}] = true
		}
	}
	return len(m), len(b)
}

// snapshot is size and time of change of every file with the content of a blob or
// a manifest in the storage of a registry. The small files beside them, which
// say what is in which repository, are not among them.
func snapshot(registry string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(filepath.Join(registry, "storage"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "data" {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files[name] = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		return nil
	})
	return files, err
}
