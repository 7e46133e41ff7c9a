package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
	"satchel/verify"
)

// hintFor says what to do next about an error, where that is known.
func hintFor(err error) string {
	var (
		prologue *bundle.PrologueError
		space    *transfer.SpaceError
		occupied *transfer.OccupiedError
		sparse   *transfer.SparseRefusedError
		version  *bundle.VersionError
		mismatch *oci.MismatchError
		damage   *bundle.DamageError
		mixed    *bundle.MixedError
		dns      *net.DNSError
		lean     *transfer.LeanError
		spoiled  *transfer.SpoiledError
		blob     *transfer.BlobError
		noMedium *noMediumError
		readBack *bundle.ReadBackError
		encoder  *bundle.EncoderError
		key      *transfer.UnknownKeyError
		trust    *transfer.TrustError
		forged   *transfer.ForgedError
		absent   *bundle.MissingVolumeError
		attached *transfer.AttachmentError
		gone     *transfer.AbsentError
	)
	switch {
	case errors.As(err, &forged):
		return "do not use this bundle: get it again, by another way, and compare the bundle ID"
	case errors.As(err, &key):
		return fmt.Sprintf("if %s is the fingerprint that its publisher states, name a file with that public key with --release-key", key.Fingerprint)
	case errors.As(err, &attached):
		return "if the source cannot be asked, as behind a mirror, --no-attachments leaves them out (clusters from 4.21 on need the .sig of release images)"
	case errors.As(err, &trust) && isNetwork(err):
		return "the signature store cannot be reached: check the network and the proxy, or name another with --signature-store URL|DIR"
	case errors.As(err, &trust):
		return "do not use it unless you know why: --allow-unsigned-release takes it all the same; signatures that lie elsewhere are named with --signature-store where bundles are packed"
	case errors.Is(err, errUnchecked):
		return "name the medium with the volume that satchel inspect shows for the release image, mostly the first"
	case errors.Is(err, errNewest):
		return "the channel has nothing newer"
	case errors.Is(err, errOtherResources):
		return "choose another directory, or delete the files; what a top-up completes has its resources from its own bundle: satchel resources"
	case errors.Is(err, errNoRelease):
		return "satchel inspect lists what is inside; pack takes a release with --release"
	case errors.Is(err, errUnpinned):
		return "pack with --plan and the directory goes on by what is on the medium, and asks nothing else"
	case errors.As(err, &prologue):
		return fmt.Sprintf("use --volume-size %d or more, or pack fewer images into one bundle", prologue.Smallest)
	case errors.As(err, &lean):
		return fmt.Sprintf("unpack %s there first, with the same --to and --naming, and then this; --keep-going leaves out the images that need it", lean.Bundles[0].Name)
	case errors.As(err, &noMedium):
		return noMedium.hint()
	case errors.As(err, &readBack):
		return "the medium is bad or a fake: use another one; pack with --plan of what is there goes on"
	case errors.As(err, &encoder):
		return "use the satchel that made the plan"
	case errors.Is(err, errOtherSettings):
		return "name the images and settings as before to go on with it, choose another directory with -o, or pack by its plan with --plan"
	case errors.As(err, &space) && len(space.Damaged) > 0:
		return "what is damaged is made again and may be deleted: " + strings.Join(space.Damaged, ", ") + "; or name more media with -o"
	case errors.As(err, &spoiled):
		return "delete these volumes where they lie, and run the same command again"
	case errors.Is(err, bundle.ErrGone):
		return "mount it again and run the same command: what is whole on it is kept"
	case errors.Is(err, errNoPlanThere):
		return "a plan is NAME.plan.json, any volume of the bundle, or a directory that has one"
	case errors.Is(err, transfer.ErrTopUpRelease):
		return "pack --release with --have and the same file: it leaves out all that the site has of the release"
	case errors.Is(err, transfer.ErrWhole):
		return "nothing is to be done"
	case errors.As(err, &space):
		return "free some room, name more media with -o, use --span to change media in one drive, or pack fewer images; --dry-run shows the sizes"
	case errors.Is(err, bundle.ErrLocked):
		return "wait for it, or choose another directory with -o"
	case errors.As(err, &occupied):
		return "choose an empty directory with -o, or delete what is not needed any more"
	case errors.As(err, &sparse):
		return "pack without --sparse, or let the registry accept sparse indexes (distribution 3: validation.manifests.indexes.platforms: none)"
	case errors.As(err, &version):
		return "use the satchel that made the bundle, or a newer one"
	case errors.As(err, &mixed):
		return "name only the media of one of them"
	case errors.Is(err, transfer.ErrForeign):
		return "add --foreign to fetch such layers from their publisher, if you may carry them"
	case errors.Is(err, transfer.ErrSparse):
		return "add --sparse to keep the index and its digest (the site's registry must accept sparse indexes), or name one platform and a tag"
	case errors.Is(err, transfer.ErrNaming):
		return "--naming host keeps the source host in the path; a larger --max-components, or 0, joins less, and a shorter prefix leaves more room"
	case errors.Is(err, errGraph):
		return "--graph URL|FILE names another update graph; check the name of the channel and the network"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the registry speaks plain HTTP, which --tls-verify=false allows"
	case errors.As(err, &dns), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the registry cannot be reached: check its name and port, the network and the proxy"
	case errors.Is(err, registry.ErrUnauthorized):
		return "log in with podman login or skopeo login, or name the credentials with --authfile"
	case errors.As(err, &blob) && errors.Is(err, registry.ErrNotFound):
		return "the source does not have it any more: --skip-missing leaves it out, and records that"
	case errors.As(err, &gone) && len(gone.Images) > 1:
		return "check the names; --skip-missing goes on without them and records that; --block REGEXP keeps out what nobody needs"
	case errors.Is(err, registry.ErrNotFound):
		return "check the spelling of registry, repository and tag; some registries also answer so when you are not logged in"
	case errors.As(err, &absent):
		return "name the directory of the medium that has it too"
	case errors.As(err, &damage):
		return "satchel verify says what is damaged and which images that hits"
	case errors.As(err, &mismatch):
		return "the source holds something else than its manifests promise; another copy of the image may be whole"
	case errors.Is(err, bundle.ErrNoBundle):
		return "name the directories where the media are mounted"
	case errors.Is(err, syscall.ENOSPC):
		return "free some room there, or choose another place"
	case errors.Is(err, syscall.EROFS):
		return "the medium is write-protected: check its switch and how it is mounted"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path; directories must exist"
	}
	return ""
}

// isNetwork reports whether something could not be reached.
func isNetwork(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op)
}

// statusFor is the exit status of an error.
func statusFor(err error) int {
	var damage *bundle.DamageError
	var missing *bundle.MissingVolumeError
	var lean *transfer.LeanError
	switch {
	case errors.As(err, &damage), errors.Is(err, verify.ErrDamage):
		return exitDamage
	case errors.As(err, &missing), errors.As(err, &lean), errors.Is(err, verify.ErrMissing), errors.Is(err, transfer.ErrNoMedium):
		return exitMissing
	}
	return exitFailed
}

// interruptedHint says how to go on after an interruption.
func interruptedHint(command string) string {
	switch command {
	case "pack":
		return "run the same command again: what is whole on the media is kept, and it goes on from there"
	case "unpack":
		return "run the same command again; what is in the registry stays and is not sent again"
	}
	return ""
}
