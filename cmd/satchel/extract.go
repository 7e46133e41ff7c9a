package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"satchel/oci"
	"satchel/oci/registry"
	"satchel/oci/release"
	"satchel/transfer"
	"satchel/transfer/extract"
	"satchel/transfer/site"
)

// extractFlags are the flags of satchel extract.
type extractFlags struct {
	remote      remoteFlags
	out         *output
	trust       trustFlags
	dir         string
	release     string
	command     string
	commandOS   string
	commandArch string
	tools       bool
	manifests   bool
	credentials bool
	cloud       string
	mirror      string
	mirrorSets  []string
}

func extractCommand() command {
	return command{
		name: "extract", arguments: "MEDIA...|docker://RELEASE", summary: "take installer, tools, manifests out of a release",
		about: "From a bundle, offline: reads only the layers that are needed, from the directories named.\n" +
			"From a registry: RELEASE is a release image; its components are looked for where\n" +
			"--mirror-set-file or registries.conf says, beside the release image, and under their own\n" +
			"names. A signature is verified for a bundle; a registry has none to give: name the release by\n" +
			"its digest there.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &extractFlags{}
			flags.StringVarP(&f.dir, "output", "o", ".", "`DIR` for the files; it is made when missing")
			flags.StringVar(&f.release, "release", "", "the release of `VERSION`, where the bundle has several")
			flags.StringVar(&f.command, "command", "", "a program, `NAME`: "+strings.Join(extract.Commands(), ", "))
			flags.StringVar(&f.commandOS, "command-os", "", "the system of programs: linux, mac, windows or * (default: this one; of tools, all)")
			flags.StringVar(&f.commandArch, "command-arch", "", "the architecture of programs: amd64, arm64 … (default: this one or amd64; of tools, all)")
			flags.BoolVar(&f.tools, "tools", false, "clients and installers for all systems, packed as oc does it")
			flags.BoolVar(&f.manifests, "manifests", false, "the manifests of the release")
			flags.BoolVar(&f.credentials, "credentials-requests", false, "the requests for cloud credentials among the manifests")
			flags.StringVar(&f.cloud, "cloud", "", "with --credentials-requests, only those of `CLOUD`: "+strings.Join(extract.Clouds(), ", "))
			flags.StringVar(&f.mirror, "mirror", "", "write `REGISTRY/REPOSITORY` and the digest into the installer as the place of the release image")
			flags.StringArrayVar(&f.mirrorSets, "mirror-set-file", nil, "from a registry, find components by the mirror sets in `FILE`")
			f.trust.add(flags)
			f.remote.add(flags)
			f.out = p.output(flags)
			return f.run
		},
	}
}

func (f *extractFlags) check(arguments []string) error {
	remote := slices.ContainsFunc(arguments, isRemoteRelease)
	switch {
	case f.command == "" && !f.tools && !f.manifests && !f.credentials:
		return usagef("nothing to extract: name --command, --tools, --manifests or --credentials-requests")
	case f.command != "" && !slices.Contains(extract.Commands(), f.command):
		return usagef("--command %q is none of %s", f.command, strings.Join(extract.Commands(), ", "))
	case f.mirror != "" && !f.tools && !strings.Contains(f.command, "install"):
		return usagef("--mirror means nothing without an installer: only they hold the place of the release image")
	case f.cloud != "" && !f.credentials:
		return usagef("--cloud means nothing without --credentials-requests")
	case f.cloud != "" && !slices.Contains(extract.Clouds(), f.cloud):
		return usagef("--cloud %q is none of %s", f.cloud, strings.Join(extract.Clouds(), ", "))
	case !remote && len(arguments) == 1 && strings.Contains(arguments[0], "/") && !exists(arguments[0]) && isReference(arguments[0]):
		return usagef("%s: no such directory; a release image in a registry begins with docker://", arguments[0])
	case remote && len(arguments) != 1:
		return usagef("name one release image, or media")
	case remote && f.release != "":
		return usagef("--release means nothing with %s, which is one", arguments[0])
	case !remote && len(f.mirrorSets) > 0:
		return usagef("--mirror-set-file means nothing with media, which hold the components")
	}
	if f.mirror != "" {
		if err := oci.CheckRepository(f.mirror); err != nil {
			return usagef("--mirror: %w", err)
		}
	}
	return f.remote.check(arguments)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func isReference(s string) bool {
	_, err := oci.SplitReference(s)
	return err == nil
}

func isRemoteRelease(s string) bool { return strings.HasPrefix(s, "docker://") }

func (f *extractFlags) run(ctx context.Context, arguments []string) error {
	if err := f.check(arguments); err != nil {
		return err
	}
	if len(arguments) == 1 && isRemoteRelease(arguments[0]) {
		return f.fromRegistry(ctx, arguments[0])
	}
	return f.fromMedia(ctx, arguments)
}

func (f *extractFlags) fromMedia(ctx context.Context, media []string) error {
	trust, err := f.trust.trust()
	if err != nil {
		return err
	}
	b, err := openMedia(media)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, d := range b.Damage {
		f.out.message("warning: %v", d)
	}
	if b.Prologue == nil {
		return fmt.Errorf("no volume can be read: %w", b.Damage[0])
	}
	releases, err := transfer.Releases(b.Prologue.Plan())
	if err != nil {
		return err
	}
	r, err := chooseRelease(releases, f.release)
	if err != nil {
		return err
	}
	if _, err := r.Verify(trust); err != nil {
		return err
	}
	// What is extracted is going to be run: the bundle's word is not enough.
	if err := r.CheckPayload(ctx, b.Bundle); err != nil {
		return err
	}
	return f.extract(ctx, &bundleImages{b.Bundle}, r)
}

// chooseRelease finds the release of a version, with or without its architecture;
// with an empty one, the only one.
func chooseRelease(releases []*transfer.PlannedRelease, version string) (*transfer.PlannedRelease, error) {
	var found []*transfer.PlannedRelease
	var there []string
	for _, r := range releases {
		tag := release.Tag(r.Payload.Version, r.Architecture)
		there = append(there, tag)
		same := len(found) > 0 && found[0].Digest == r.Digest
		if (version == "" || r.Payload.Version == version || tag == version) && !same {
			found = append(found, r)
		}
	}
	switch {
	case len(releases) == 0:
		return nil, errNoRelease
	case len(found) == 0:
		return nil, fmt.Errorf("release %s is not in the bundle, which has %s", version, strings.Join(there, ", "))
	case len(found) > 1:
		return nil, usagef("several releases fit: name one with --release: %s", strings.Join(there, ", "))
	}
	return found[0], nil
}

// errNoRelease says that a bundle has no release.
var errNoRelease = errors.New("the bundle has no release")

func (f *extractFlags) fromRegistry(ctx context.Context, name string) error {
	ref, err := registry.ParseReference(name)
	if err != nil {
		return &usageError{err}
	}
	images := &registryImages{}
	for _, file := range f.mirrorSets {
		data, err := readBounded(file)
		if err != nil {
			return fmt.Errorf("--mirror-set-file: %w", err)
		}
		redirects, err := site.ParseMirrorSets(data)
		if err != nil {
			return fmt.Errorf("--mirror-set-file %s: %w", file, err)
		}
		images.redirects = append(images.redirects, redirects...)
	}
	client, err := f.remote.client(f.out, false)
	if err != nil {
		return err
	}
	defer client.Close()
	images.client = client
	// Whether a registry's release is signed, only the stores could tell.
	releases, err := transfer.ReadReleases(ctx, transfer.Sources{Registry: client}, []transfer.Wanted{{Name: ref}},
		transfer.ReleaseOptions{Trust: transfer.Trust{AllowUnsigned: true}})
	if err != nil {
		return err
	}
	r := &releases[0].PlannedRelease
	images.beside = ref.Repository
	return f.extract(ctx, images, r)
}

// extract writes what is asked for.
func (f *extractFlags) extract(ctx context.Context, images extract.Images, r *transfer.PlannedRelease) error {
	ref, err := oci.SplitReference(r.Reference)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	defer root.Close() // files are closed by then
	from := extract.Release{Reference: ref, Digest: r.Digest, Architecture: r.Architecture, Payload: r.Payload}
	o := extract.Options{Dir: root, Progress: func(name string, size int64) { f.out.message("%s: %s", name, human(size)) }}
	if f.mirror != "" {
		o.MirrorRelease = f.mirror + "@" + string(r.Digest)
	}
	f.out.message("extracting from release %s, %s", release.Tag(r.Payload.Version, r.Architecture), r.Digest)
	all := &extract.Result{}
	for _, step := range []struct {
		wanted bool
		do     func() (*extract.Result, error)
	}{
		{f.command != "", func() (*extract.Result, error) {
			return extract.Command(ctx, images, from, f.command, f.commandOS, f.commandArch, o)
		}},
		{f.tools, func() (*extract.Result, error) {
			return extract.Tools(ctx, images, from, f.commandOS, f.commandArch, o)
		}},
		{f.manifests, func() (*extract.Result, error) { return extract.Manifests(ctx, images, from, o) }},
		{f.credentials, func() (*extract.Result, error) {
			return extract.CredentialsRequests(ctx, images, from, f.cloud, o)
		}},
	} {
		if !step.wanted {
			continue
		}
		result, err := step.do()
		if result != nil {
			all.Files = append(all.Files, result.Files...)
			all.Warnings = append(all.Warnings, result.Warnings...)
			all.LeftOut = append(all.LeftOut, result.LeftOut...)
		}
		if err != nil {
			return err
		}
	}
	return f.conclude(all)
}

// extracted is the result of extract.
type extracted struct {
	Files    []extractedFile `json:"files"`
	Warnings []string        `json:"warnings,omitempty"`
	// LeftOut is what the payload does not have.
	LeftOut []string `json:"leftOut,omitempty"`
}

type extractedFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

func (f *extractFlags) conclude(result *extract.Result) error {
	e := extracted{Files: []extractedFile{}, Warnings: result.Warnings, LeftOut: result.LeftOut}
	for _, file := range result.Files {
		f.out.printf("%s  %s\n", file.Digest.Encoded(), file.Name)
		e.Files = append(e.Files, extractedFile{file.Name, file.Size, string(file.Digest)})
	}
	for _, s := range result.LeftOut {
		f.out.message("left out: %s", s)
	}
	for _, s := range result.Warnings {
		f.out.message("warning: %s", s)
	}
	return f.out.json(e)
}
