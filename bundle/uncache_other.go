//go:build !linux

package bundle

import (
	"errors"
	"os"
)

func uncache(*os.File) error { return errors.ErrUnsupported }
