package extract

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// gzipLevel is the one that oc takes: programs are large, and waited for.
const gzipLevel = 3

const readmeName = "README.md"

// packTar writes a tar.gz of a program of size bytes, which content writes. No
// clock and no user is in it.
func packTar(w io.Writer, t target, size int64, content func(io.Writer) error) error {
	z, err := gzip.NewWriterLevel(w, gzipLevel)
	if err != nil {
		return err
	}
	out := tar.NewWriter(z)
	header := func(name string, mode, size int64) error {
		return out.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		})
	}
	if err := header(readmeName, 0o644, int64(len(t.readme))); err != nil {
		return &writeError{err}
	}
	if _, err := io.WriteString(out, t.readme); err != nil {
		return &writeError{err}
	}
	if err := header(t.as, 0o755, size); err != nil {
		return &writeError{err}
	}
	if err := content(out); err != nil {
		return err
	}
	if t.link != "" {
		err = out.WriteHeader(&tar.Header{
			Typeflag: tar.TypeLink, Name: t.link, Linkname: t.as, Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		})
	}
	if err = errors.Join(err, out.Close(), z.Close()); err != nil {
		return &writeError{err}
	}
	return nil
}

// packZip writes a zip of a program for Windows, as packTar does.
func packZip(w io.Writer, t target, content func(io.Writer) error) error {
	out := zip.NewWriter(w)
	create := func(name string) (io.Writer, error) {
		header := &zip.FileHeader{
			Name: name, Method: zip.Deflate,
			Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), // the first that zip knows
		}
		header.SetMode(0o755)
		return out.CreateHeader(header)
	}
	readme, err := create(readmeName)
	if err != nil {
		return &writeError{err}
	}
	if _, err := io.WriteString(readme, strings.ReplaceAll(t.readme, "\n", "\r\n")); err != nil {
		return &writeError{err}
	}
	program, err := create(t.fileName())
	if err != nil {
		return &writeError{err}
	}
	if err := content(program); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return &writeError{err}
	}
	return nil
}

const (
	readmeClient = `# OpenShift client

oc works with OpenShift and Kubernetes clusters. Put it into a directory of your
PATH. Under the name kubectl, the same program behaves as that of Kubernetes.

    oc login https://api.CLUSTER.DOMAIN:6443
    oc help

Documentation: https://docs.openshift.com
Source: https://github.com/openshift/oc (Apache License 2.0)
`
	readmeInstaller = `# OpenShift installer

openshift-install makes clusters of the release that this pack was taken from.

    openshift-install version
    openshift-install help

Documentation: https://docs.openshift.com
Source: https://github.com/openshift/installer (Apache License 2.0)
`
	readmeCredentials = `# Cloud credential utility

ccoctl makes and maintains the credentials of a cluster from outside, for
clusters whose cloud credential operator is in manual mode.

    ccoctl help

Documentation: https://docs.openshift.com
Source: https://github.com/openshift/cloud-credential-operator (Apache License 2.0)
`
)
