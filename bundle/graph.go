package bundle

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// maxGraph bounds what the graphs of all images of a bundle name together, each
// image counting what it shares too.
const maxGraph = 20_000_000

// Graph is what one image of a bundle consists of. It is shared and must not be
// changed.
type Graph struct {
	// Manifests stand children before parents, the root last.
	Manifests []oci.Descriptor
	// Blobs are the plan's entries, each once, in the order of the manifests.
	Blobs []*Blob
	// Contents are manifests that the image names as blobs, as an artifact may.
	Contents []Content
}

// Graph follows an image of the plan from its root to its last layer. It fails
// when something that is named is not in the plan, or is there with another
// size. Children that the bundle leaves out are passed over only in a sparse
// image.
func (p *Prologue) Graph(image Image) (*Graph, error) {
	p.graphMu.Lock()
	defer p.graphMu.Unlock()
	key := graphKey{image.Root.Digest, image.Sparse}
	if g, ok := p.graphs[key]; ok {
		return g, nil
	}
	g, err := p.walk(image)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", image.Reference, err)
	}
	if p.graphSize += len(g.Manifests) + len(g.Blobs) + len(g.Contents); p.graphSize > maxGraph {
		return nil, fmt.Errorf("image %s: the images of the bundle name more than %d blobs together", image.Reference, maxGraph)
	}
	if p.graphs == nil {
		p.graphs = make(map[graphKey]*Graph)
	}
	p.graphs[key] = g
	return g, nil
}

// graphKey is what a graph depends on within one prologue.
type graphKey struct {
	root   digest.Digest
	sparse bool
}

func (p *Prologue) walk(image Image) (*Graph, error) {
	g := &Graph{}
	seen := make(map[digest.Digest]bool)
	fetch := func(_ context.Context, d oci.Descriptor) ([]byte, error) {
		content, ok := p.Manifest(d.Digest)
		if !ok {
			return nil, errors.New("it is not in the bundle")
		}
		return content, oci.Verify(content, d)
	}
	keep := func(d oci.Descriptor) bool {
		_, ok := p.Manifest(d.Digest)
		return ok || !image.Sparse
	}
	visit := func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
		g.Manifests = append(g.Manifests, d)
		for _, child := range m.Blobs {
			if seen[child.Digest] {
				continue
			}
			seen[child.Digest] = true
			if err := g.add(p, child); err != nil {
				return err
			}
		}
		return nil
	}
	// Everything is in memory, so there is nothing to be cancelled.
	return g, oci.Walk(context.Background(), image.Root.Descriptor(), fetch, keep, visit)
}

func (g *Graph) add(p *Prologue, d oci.Descriptor) error {
	if b := p.Blob(d.Digest); b != nil {
		if b.Size != d.Size {
			return fmt.Errorf("blob %s: %d bytes in the plan, %d in the manifest", d.Digest, b.Size, d.Size)
		}
		g.Blobs = append(g.Blobs, b)
		return nil
	}
	content, ok := p.Manifest(d.Digest)
	if !ok {
		return fmt.Errorf("blob %s is not in the plan", d.Digest)
	}
	if int64(len(content)) != d.Size {
		return fmt.Errorf("blob %s: %d bytes in the bundle, %d in the manifest", d.Digest, len(content), d.Size)
	}
	g.Contents = append(g.Contents, ContentOf(d))
	return nil
}
