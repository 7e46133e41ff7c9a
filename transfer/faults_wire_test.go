package transfer_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"satchel/fixtures"
	"satchel/oci/registry"
)

// wireFault is a way in which a request goes wrong.
type wireFault struct {
	name string
	fixtures.Fault
	// passes says that it is over when the request is tried again.
	passes bool
}

// probe is the request that finds out whether a registry speaks HTTP or HTTPS. What
// goes wrong with it is told as that of the other.
const probe = "GET /v2/"

func answers(status int, header ...string) fixtures.Fault {
	f := fixtures.Fault{Kind: fixtures.FaultAnswer, Status: status, Header: make(http.Header)}
	for i := 0; i < len(header); i += 2 {
		f.Header.Set(header[i], header[i+1])
	}
	return f
}

// wireFaults are those of any request. elsewhere is a registry that has the same,
// empty one that has nothing.
func wireFaults(elsewhere, empty string) []wireFault {
	closed := httptest.NewServer(nil)
	closed.Close()
	nobody := closed.URL
	return []wireFault{
		{"dropped before", fixtures.Fault{Kind: fixtures.FaultDropBefore}, true},
		{"dropped before the body", fixtures.Fault{Kind: fixtures.FaultDropBody}, true},
		{"dropped within the body", fixtures.Fault{Kind: fixtures.FaultDropBody, N: 60}, true},
		{"dropped after", fixtures.Fault{Kind: fixtures.FaultDropAfter}, true},
		{"401", answers(401), false},
		{"403", answers(403), false},
		{"404", answers(404), false},
		{"408", answers(408), true},
		{"416", answers(416), false},
		{"429, Retry-After: 0", answers(429, "Retry-After", "0"), true},
		{"429, Retry-After: 1", answers(429, "Retry-After", "1"), true},
		{"500", answers(500), true},
		{"503", answers(503), true},
		{"307 to where it is", fixtures.Fault{Kind: fixtures.FaultElsewhere, To: elsewhere}, false},
		{"307 to where it is not", fixtures.Fault{Kind: fixtures.FaultElsewhere, To: empty}, false},
		{"307 to where nobody listens", fixtures.Fault{Kind: fixtures.FaultElsewhere, To: nobody}, false},
		{"307 to nowhere", fixtures.Fault{Kind: fixtures.FaultElsewhere}, false},
		{"first bit wrong", fixtures.Fault{Kind: fixtures.FaultFlip}, false},
		{"later bit wrong", fixtures.Fault{Kind: fixtures.FaultFlip, N: 60}, false},
		{"short by one byte", fixtures.Fault{Kind: fixtures.FaultShort, N: 1}, false},
		{"long by one byte", fixtures.Fault{Kind: fixtures.FaultLong, N: 1}, false},
		{"other digest stated", fixtures.Fault{Kind: fixtures.FaultDigest}, false},
		{"token expired", fixtures.Fault{Kind: fixtures.FaultExpire}, false},
	}
}

// at makes the n-th request to the registry go wrong. The function that it returns
// ends that, and says which request that was, empty when there were not so many,
// and whether the fault took effect.
func (f wireFault) at(r *fixtures.Registry, n int) (end func() (hit string, fired bool)) {
	before := r.Stats().Faults
	var mu sync.Mutex
	count, hit := 0, ""
	r.SetFault(func(_ int, req *http.Request) fixtures.Fault {
		mu.Lock()
		defer mu.Unlock()
		if count++; count != n {
			return fixtures.Fault{}
		}
		hit = req.Method + " " + req.URL.Path
		return f.Fault
	})
	return func() (string, bool) {
		r.SetFault(nil)
		mu.Lock()
		defer mu.Unlock()
		return hit, r.Stats().Faults > before
	}
}

// process is what each run has anew, as a process has.
type process struct {
	dir     string // configuration
	retries int    // as in registry.Options
}

// newProcess makes processes that do not try again.
func newProcess(t testing.TB) process {
	t.Helper()
	p := process{t.TempDir(), -1}
	for name, content := range map[string]string{"auth.json": "{}", "registries.conf": ""} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// withClient calls f with a new client.
func (p process) withClient(f func(*registry.Client) error) error {
	c, err := registry.New(registry.Options{
		AuthFile: filepath.Join(p.dir, "auth.json"), RegistriesConf: filepath.Join(p.dir, "registries.conf"),
		Insecure: true, Direct: true, Retries: p.retries,
	})
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}
