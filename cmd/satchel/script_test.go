package main

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"satchel/fixtures"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"satchel": main, "satchel-peak": peakMain})
}

// TestScripts runs the scripts in testdata. Each has $SOURCE, a registry with the
// demo's images, and can start more.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			r := fixtures.NewRegistry(fixtures.Options{})
			if err := r.Add(fixtures.Demo(300<<10, 1<<20)...); err != nil {
				return err
			}
			r.Start()
			env.Defer(r.Close)
			env.Setenv("SOURCE", r.Host())
			env.Values[registries{}] = map[string]*fixtures.Registry{r.Host(): r}
			env.Setenv("TMPDIR", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"registry": registryCommand, "status": statusCommand, "flip": flipCommand, "truncate": truncateCommand,
			"retag": retagCommand, "fault": faultCommand, "release": releaseCommand, "expand": expandCommand,
			"sametree": sametreeCommand,
		},
	})
}

// registryCommand starts an empty registry: registry VARIABLE [OPTION...].
func registryCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: registry VARIABLE [readonly|password|full|nomount|schema1|foreign]")
	}
	var o fixtures.Options
	var images []fixtures.Image
	for _, option := range args[1:] {
		switch option {
		case "readonly":
			o.ReadOnly = true
		case "password":
			o.User, o.Password, o.Bearer = "carrier", "secret-word", true
		case "full":
			o.FullAfter, o.FullStatus = 1000, 507
		case "nomount":
			o.RefuseMount = true
		case "schema1":
			images = append(images, fixtures.NewSchema1("old/image", "1"))
		case "foreign":
			layer := fixtures.ForeignLayer("windows", 1000, "http://127.0.0.1:1/layer")
			images = append(images, fixtures.NewImage(fixtures.ImageSpec{Docker: true, Layers: []fixtures.Layer{layer}}).Named("windows/base", "1"))
		default:
			ts.Fatalf("unknown option %s", option)
		}
	}
	r := fixtures.NewRegistry(o)
	ts.Check(r.Add(images...))
	r.Start()
	ts.Defer(r.Close)
	ts.Setenv(args[0], r.Host())
	ts.Value(registries{}).(map[string]*fixtures.Registry)[r.Host()] = r
}

// registries is the key of a script's registries by host.
type registries struct{}

func registryAt(ts *testscript.TestScript, host string) *fixtures.Registry {
	r := ts.Value(registries{}).(map[string]*fixtures.Registry)[host]
	if r == nil {
		ts.Fatalf("no registry at %s", host)
	}
	return r
}

// retagCommand lets a tag name another image: retag HOST REPOSITORY TAG.
func retagCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: retag HOST REPOSITORY TAG")
	}
	image := fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"moved": "yes"}}).Named(args[1], args[2])
	ts.Check(registryAt(ts, args[0]).Add(image))
}

// faultCommand lets a registry answer GET of paths that contain a text with a
// status: fault HOST STATUS TEXT. Status 0 ends that.
func faultCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fault HOST STATUS TEXT")
	}
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	registryAt(ts, args[0]).SetFault(func(_ int, r *http.Request) fixtures.Fault {
		if status == 0 || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, args[2]) {
			return fixtures.Fault{}
		}
		return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: status}
	})
}

// statusCommand runs a command that must end with a status: status N COMMAND...
func statusCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

// flipCommand inverts a byte of a file: flip FILE OFFSET.
func flipCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	name := ts.MkAbs(args[0])
	content, err := os.ReadFile(name)
	ts.Check(err)
	content[offset] ^= 0xff
	ts.Check(os.WriteFile(name, content, 0o644))
}

// truncateCommand cuts a file: truncate FILE SIZE.
func truncateCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE SIZE")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}
