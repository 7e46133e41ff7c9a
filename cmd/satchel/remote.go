package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"satchel/oci/registry"
)

// remoteFlags are the flags of all commands that talk to registries, named as
// skopeo and podman name them.
type remoteFlags struct {
	authFile, certDir string
	tlsVerify         bool
	retries           int
	jobs              int
	verbose           bool
}

func (f *remoteFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.authFile, "authfile", "a", "", "credentials `FILE` (default: $REGISTRY_AUTH_FILE, then those of podman and docker)")
	flags.BoolVar(&f.tlsVerify, "tls-verify", true, "require HTTPS and check certificates; =false also allows plain HTTP")
	flags.StringVar(&f.certDir, "cert-dir", "", "`DIR` with *.crt, *.cert, *.key for the registry (default: as containers have it)")
	flags.IntVar(&f.jobs, "jobs", 8, "`N` connections for blobs, 1 to 64")
	flags.IntVar(&f.retries, "retry-times", 5, "try a failure that may pass `N` times again")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "say every request")
}

func (f *remoteFlags) check(arguments []string) error {
	for _, a := range arguments {
		if a == "true" || a == "false" {
			return usagef("%s stands by itself: flags take it with an equals sign, as in --tls-verify=false", a)
		}
	}
	if f.jobs < 1 || f.jobs > 64 {
		return usagef("--jobs %d is not 1 to 64", f.jobs)
	}
	if f.retries < 0 || f.retries > 100 {
		return usagef("--retry-times %d is not 0 to 100", f.retries)
	}
	return nil
}

// client makes the registry client; direct is for targets, which no mirror may
// stand in for.
func (f *remoteFlags) client(out *output, direct bool) (*registry.Client, error) {
	o := registry.Options{
		AuthFile: f.authFile, CertDir: f.certDir, Insecure: !f.tlsVerify, Direct: direct,
		Connections: 64, Retries: f.retries, UserAgent: "satchel/" + version(),
	}
	if f.retries == 0 {
		o.Retries = -1
	}
	if f.verbose {
		o.Log = func(r registry.Request) {
			what := fmt.Sprint(r.Status)
			if r.Err != nil {
				what = r.Err.Error()
			}
			out.message("%s %s: %s, %d bytes, %s, attempt %d", r.Method, r.URL, what, r.Bytes, r.Duration.Round(time.Millisecond), r.Attempt)
		}
	}
	return registry.New(o)
}
