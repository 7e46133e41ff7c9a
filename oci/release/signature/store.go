package signature

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// maxNumber is the last number of a signature that clusters look for
// (openshift/library-go, pkg/verify/store/sigstore/sigstore.go).
const maxNumber = 9

// Store has signatures by the digest that they sign, numbered from 1 without gaps.
type Store interface {
	// Signature returns signature n for d, at most [MaxSize] bytes of which nothing is
	// verified, or an error that is fs.ErrNotExist when there is none.
	// It is for concurrent use.
	Signature(ctx context.Context, d digest.Digest, n int) ([]byte, error)
}

// Collect asks the stores side by side and returns signatures 1 to 9 of each for d, up to the first that a
// store does not have, in the order of the stores; equal bytes once. A
// store that fails is an error only when no store gave a signature: otherwise
// [VerifyAll] judges whether those that there are suffice. No signature anywhere is
// no error.
func Collect(ctx context.Context, stores []Store, d digest.Digest) ([][]byte, error) {
	if err := oci.CheckDigest(d); err != nil {
		return nil, err
	}
	of := make([][][]byte, len(stores))
	failed := make([]error, len(stores))
	var wait sync.WaitGroup
	for i, store := range stores {
		wait.Go(func() { of[i], failed[i] = collect(ctx, store, d) })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	found := slices.Concat(of...)
	if err := errors.Join(failed...); len(found) == 0 && err != nil {
		return nil, err
	}
	return distinct(found), nil
}

// collect returns the signatures of one store.
func collect(ctx context.Context, store Store, d digest.Digest) (found [][]byte, err error) {
	for n := 1; n <= maxNumber; n++ {
		raw, err := store.Signature(ctx, d, n)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return found, err
		}
		found = append(found, raw)
	}
	return found, nil
}

type dirStore struct{ root *os.Root }

// NewDirStore returns a store of the files below root, which it uses and does not
// close. It knows the names that a web server of signatures has,
// sha256=<hex>/signature-<n>, the same with "-" for "=", and after these, sorted by
// name, all files directly in root that oc-mirror would have written,
// <tag>-sha256-<hex>, or that are named like the keys of a ConfigMap, sha256-<hex>-<n>.
// It may be used concurrently.
func NewDirStore(root *os.Root) Store { return dirStore{root} }

func (s dirStore) Signature(ctx context.Context, d digest.Digest, n int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := oci.CheckDigest(d); err != nil {
		return nil, err
	}
	names, err := s.names(d)
	if err != nil {
		return nil, fmt.Errorf("signatures of %s: %w", d, err)
	}
	if n < 1 || n > len(names) {
		return nil, fmt.Errorf("signature %d of %s: %w", n, d, fs.ErrNotExist)
	}
	return s.read(names[n-1])
}

// names lists the signatures of a digest in their order.
func (s dirStore) names(d digest.Digest) ([]string, error) {
	var names []string
	for _, separator := range []string{"=", "-"} {
		dir := "sha256" + separator + d.Encoded()
		info, err := s.root.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			continue // a file of that name is looked at below
		}
		for n := 1; n <= maxNumber; n++ {
			name := dir + "/signature-" + strconv.Itoa(n)
			if _, err := s.root.Stat(name); errors.Is(err, fs.ErrNotExist) {
				break
			} else if err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries { // sorted
		if !entry.IsDir() && isFlatName(entry.Name(), d.Encoded()) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// isFlatName reports whether a file is one of <tag>-sha256-<hex>, sha256-<hex> and
// sha256-<hex>-<n> (openshift/oc-mirror, internal/pkg/release/signature.go;
// openshift/oc, pkg/cli/admin/release/signature.go).
func isFlatName(name, hex string) bool {
	before, after, found := strings.Cut(name, "sha256-"+hex)
	if !found || before != "" && !strings.HasSuffix(before, "-") {
		return false
	}
	number, isNumbered := strings.CutPrefix(after, "-")
	if !isNumbered {
		return after == ""
	}
	_, err := strconv.ParseUint(number, 10, 16)
	return err == nil
}

func (s dirStore) read(name string) ([]byte, error) {
	info, err := s.root.Stat(name) // before Open, which waits for the writer of a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("signature %s: not a regular file", name)
	}
	file, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(file)
	err = errors.Join(err, file.Close())
	if err != nil {
		return nil, fmt.Errorf("signature %s: %w", name, err)
	}
	return raw, nil
}

// readBounded reads all of r, at most MaxSize bytes.
func readBounded(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w of %d bytes", ErrTooLarge, MaxSize)
	}
	return slices.Clip(raw), nil
}
