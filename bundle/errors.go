package bundle

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// DamageError says where on the media something is not as it must be. All
// failures to read or to parse a volume are of this type.
type DamageError struct {
	// File is the name of the file, Medium where it lies.
	File, Medium string
	// Offset is that of the frame, in bytes from the start of the file; -1 when
	// the file as a whole is meant.
	Offset int64
	Err    error
}

func (e *DamageError) Error() string {
	where := e.File
	if e.Medium != "" {
		where += " on " + e.Medium
	}
	if e.Offset >= 0 {
		where += " at byte " + strconv.FormatInt(e.Offset, 10)
	}
	return where + ": " + e.Err.Error()
}

func (e *DamageError) Unwrap() error { return e.Err }

// MissingVolumeError says that volumes are needed that are not there.
type MissingVolumeError struct {
	// Numbers are the volumes' numbers, of Count in all.
	Numbers []int
	Count   int
}

func (e *MissingVolumeError) Error() string {
	if len(e.Numbers) == 1 {
		return fmt.Sprintf("volume %d of %d is missing", e.Numbers[0], e.Count)
	}
	return fmt.Sprintf("volumes %s of %d are missing", joinNumbers(e.Numbers), e.Count)
}

// MissingBlobError says that a bundle was packed without a blob.
type MissingBlobError struct {
	Digest digest.Digest
	// Volume is the name of the volume that should hold it; empty when no volume
	// should.
	Volume string
	Reason string
}

func (e *MissingBlobError) Error() string {
	if e.Volume == "" {
		return fmt.Sprintf("blob %s is not in the bundle: %s", e.Digest, e.Reason)
	}
	return fmt.Sprintf("blob %s is not in %s: %s", e.Digest, e.Volume, e.Reason)
}

func joinNumbers(numbers []int) string {
	s := make([]string, len(numbers))
	for i, n := range numbers {
		s[i] = strconv.Itoa(n)
	}
	return strings.Join(s, ", ")
}

// MixedError says that media hold things of two bundles, and that nothing says
// which is meant.
type MixedError struct{ First, Second string }

func (e *MixedError) Error() string {
	return fmt.Sprintf("media hold two bundles: %s, and %s", e.First, e.Second)
}
