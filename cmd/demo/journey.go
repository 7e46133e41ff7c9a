package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"satchel/fixtures"
)

const (
	stick  = "stick"
	prefix = "mirror"
	list   = "images.txt"
)

// sizes are in bytes, of a volume at most, of the buffer, and of the two large
// layers. volume and buffer are whole MiB.
type sizes struct{ volume, buffer, large, huge int64 }

// journey is the state of the story.
type journey struct {
	pen      *pen
	programs programs
	sizes    sizes
	dir      string // temporary; all that happens happens there
	images   []fixtures.Image
	source   *fixtures.Process
	site     *fixtures.Process
	planned  []plannedVolume
	planID   string
}

// tell tells the story and checks it. All that it starts and makes is gone when
// it returns, also when ctx ends it.
func tell(ctx context.Context, p *pen, built programs, s sizes) (err error) {
	dir, err := os.MkdirTemp("", "satchel-demo-")
	if err != nil {
		return err
	}
	defer func() { err = finish(ctx, err, dir) }()
	j := &journey{pen: p, programs: built, sizes: s, dir: dir}
	defer j.stop()
	begun := time.Now()
	for _, act := range []func(context.Context) error{
		j.start, j.dryRun, j.pack, j.check, j.inspect, j.unpack, j.compare, j.damage, j.again, j.release,
	} {
		if p.err != nil {
			return p.err
		}
		if err := act(ctx); err != nil {
			return err
		}
	}
	j.pen.title("The end")
	j.pen.say(`All of it was as it should be. It took %s, the builds not counted. Now the
registries end and the stick is deleted; the programs stay in bin, so try
"bin/satchel help".`, time.Since(begun).Round(time.Second))
	return p.err
}

// start starts two registries and fills one.
func (j *journey) start(ctx context.Context) error {
	j.images = fixtures.Demo(j.sizes.large, j.sizes.huge)
	var err error
	if j.source, err = fixtures.StartRegistry(ctx, j.programs.registry, j.path("source")); err != nil {
		return err
	}
	if j.site, err = fixtures.StartRegistry(ctx, j.programs.registry, j.path("site")); err != nil {
		return err
	}
	if err := fixtures.Push(ctx, j.source.URL(), j.images...); err != nil {
		return err
	}
	if there, err := newWire(ctx).repositories(j.site.URL()); err != nil {
		return err
	} else if len(there) > 0 {
		return fmt.Errorf("registry of the site: got repositories %q, want none", there)
	}
	var references strings.Builder
	for _, image := range j.images {
		references.WriteString(j.source.Addr() + "/" + image.Reference() + "\n")
	}
	if err := os.WriteFile(j.path(list), []byte(references.String()), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(j.path(stick), 0o755); err != nil {
		return err
	}
	j.pen.title("Two registries, and a gap between them")
	j.pen.say(`Two registries run now. Think of the first, %s, as the internet: it
holds %d images of all kinds. Some are for several processors, one an index within an index; there are images in Docker's form and in OCI's, one
known by its digest only, layers that several images share, an empty one, some
compressed with gzip or zstd or not at all.`, j.source.Addr(), len(j.images))
	j.pen.say(`The second, %s, is the site without internet: it is empty. No
call of satchel talks to both. What goes from one to the other goes over a USB
stick, for which the directory %s stands.`, j.site.Addr(), stick)
	j.pen.say("The images are listed in a file:")
	j.pen.command("cat", list)
	j.show(references.String())
	return nil
}

func (j *journey) stop() {
	for _, process := range []*fixtures.Process{j.source, j.site} {
		if process != nil {
			process.Stop()
		}
	}
}

func (j *journey) path(name string) string { return filepath.Join(j.dir, name) }

// show writes output that is not satchel's.
func (j *journey) show(output string) {
	d := &display{pen: j.pen}
	d.Write([]byte(output)) // never fails
	d.end()
	j.pen.gap()
}

func mib(bytes int64) string { return fmt.Sprintf("%dMiB", bytes>>20) }
