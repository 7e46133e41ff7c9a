package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"

	"satchel/oci"
	"satchel/oci/layers"
)

// Command writes one program of a release, one of [Commands], into the directory
// under the name that oc gives it: "oc" for "oc.rhel9" too, and with ".exe" for
// Windows. targetOS is linux, darwin (or mac), windows, or "*" for all systems,
// which writes packs as [Tools] does; empty means the system this runs on.
// targetArch is an architecture of Go; empty means amd64, or with an empty
// targetOS that of this system, or with "*" all.
//
// Into the program its release is written, where it has places for it: version,
// location and architecture into installers, the version into oc. A value that
// is too long is an error before anything is written; a place that is not there
// is a warning in the result. The error wraps fs.ErrNotExist when the payload
// does not have the program.
func Command(ctx context.Context, images Images, r Release, name, targetOS, targetArch string, o Options) (*Result, error) {
	if name == "" {
		return nil, errors.New("no command is named")
	}
	if targetOS == "" {
		targetOS = runtime.GOOS
		if targetArch == "" {
			targetArch = runtime.GOARCH
		}
	}
	return write(ctx, images, r, name, targetOS, targetArch, o)
}

// Tools writes the programs of a release, packed for each system as oc does it:
// openshift-client-…, openshift-install-… and ccoctl-… with the version in their
// names, release.txt about the release, and sha256sum.txt over all of them.
// targetOS and targetArch are as those of [Command], but empty ones mean all.
// The packs are the same whenever and wherever they are made. What the payload
// does not have is left out, and stands in the result.
func Tools(ctx context.Context, images Images, r Release, targetOS, targetArch string, o Options) (*Result, error) {
	if targetOS == "" {
		targetOS = anything
	}
	if targetArch == "" {
		targetArch = anything
	}
	return write(ctx, images, r, "", targetOS, targetArch, o)
}

func write(ctx context.Context, images Images, r Release, command, targetOS, targetArch string, o Options) (*Result, error) {
	x, err := newExtraction(images, r, o)
	if err != nil {
		return nil, err
	}
	targetOS, targetArch, err = normal(targetOS, targetArch)
	if err != nil {
		return nil, err
	}
	chosen, err := selection{command: command, os: targetOS, arch: targetArch, release: x.architecture()}.choose()
	if err != nil {
		return nil, err
	}
	pullspec, err := x.pullspec(ctx)
	if err != nil {
		return nil, err
	}
	packed := command == "" || targetOS == anything
	programs, err := x.programs(chosen, pullspec, packed)
	if err != nil {
		return nil, err
	}
	for len(programs) > 0 {
		component := programs[0].component
		var of, others []*program
		for _, p := range programs {
			if p.component == component {
				of = append(of, p)
			} else {
				others = append(others, p)
			}
		}
		if err := x.extract(ctx, component, of); err != nil {
			return x.result, err
		}
		programs = others
	}
	if len(x.result.Files) == 0 {
		return x.result, fmt.Errorf("release %s has none of the programs: %s: %w", r.Payload.Version, x.result.LeftOut[0], fs.ErrNotExist)
	}
	if packed {
		return x.result, x.describe(pullspec)
	}
	return x.result, nil
}

// extract writes the programs that come from one component.
func (x *extraction) extract(ctx context.Context, component string, programs []*program) error {
	c, ok := x.release.Payload.Component(component)
	if !ok {
		for _, p := range programs {
			x.leaveOut(p, "the payload has no component "+component)
		}
		return nil
	}
	img, err := x.image(ctx, c.Image)
	if err != nil {
		return fmt.Errorf("component %s: %w", component, err)
	}
	var wants []*want
	for _, p := range programs {
		wants = append(wants, &want{
			path:   p.path,
			take:   func(e layers.Entry, r io.Reader) (*part, error) { return x.take(p, e, r) },
			accept: func(out *part) error { return x.accept(p, out) },
			absent: func() { x.leaveOut(p, fmt.Sprintf("component %s has no %s", component, p.path)) },
		})
	}
	if err := gather(ctx, img, wants); err != nil {
		return fmt.Errorf("component %s: image %s: %w", component, c.Image, err)
	}
	return nil
}

func (x *extraction) leaveOut(p *program, why string) {
	x.result.LeftOut = append(x.result.LeftOut, fmt.Sprintf("%s is left out: %s", p.name, why))
}

// pullspec is the location that installers take the release from.
func (x *extraction) pullspec(ctx context.Context) (string, error) {
	if x.options.MirrorRelease == "" {
		return x.reference().String(), nil
	}
	mirror, err := oci.SplitReference(x.options.MirrorRelease)
	if err == nil && (mirror.Tag != "" || mirror.Digest == "") {
		err = errors.New("it is not REGISTRY/REPOSITORY@DIGEST")
	}
	if err == nil && mirror.Digest != x.release.Digest {
		err = x.checkChild(ctx, mirror)
	}
	if err != nil {
		return "", fmt.Errorf("mirrored release %q: %w", x.options.MirrorRelease, err)
	}
	return mirror.String(), nil
}

// checkChild refuses a mirrored release that is neither the release nor one of
// the images of its index.
func (x *extraction) checkChild(ctx context.Context, mirror oci.Reference) error {
	root, err := (&image{images: x.images, ref: x.reference()}).read(ctx, x.release.Digest)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(root.Manifests, func(d oci.Descriptor) bool { return d.Digest == mirror.Digest }) {
		return fmt.Errorf("the release is %s", x.release.Digest)
	}
	return nil
}
