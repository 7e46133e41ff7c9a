package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"satchel/fixtures"
)

// releaseCommand adds a release to the registry $SOURCE:
//
//	release VARIABLE VERSION [OPTION...]
//
// Its signature is in a store that its payload names, or in the directory of
// store=DIR, unless it is unsigned. VARIABLE becomes its name by tag,
// VARIABLE_DIGEST its digest, and VARIABLE_BLOB that of a layer which its last
// component shares with no other. The key is in release.pub, its fingerprint in
// $FINGERPRINT; other.pub signs nothing.
func releaseCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: release VARIABLE VERSION [unsigned|otherkey|otherdigest|arm64|multi|cosigned|shared=LABEL|alias=NAME:COMPONENT|store=DIR]...")
	}
	host := ts.Getenv("SOURCE")
	spec := fixtures.ReleaseSpec{Version: args[1], Registry: host, Aliases: make(map[string]string)}
	options := make(map[string]string)
	for _, option := range args[2:] {
		name, value, _ := strings.Cut(option, "=")
		options[name] = value
		switch name {
		case "multi":
			spec.Architectures = []string{"amd64", "arm64"}
		case "arm64":
			spec.Architectures = []string{"arm64"}
		case "shared":
			spec.Shared = value
		case "alias":
			alias, component, _ := strings.Cut(value, ":")
			spec.Aliases[alias] = component
		case "unsigned", "otherkey", "otherdigest", "cosigned", "store":
		default:
			ts.Fatalf("unknown option %s", option)
		}
	}
	store := &fixtures.SignatureStore{}
	server := httptest.NewServer(store)
	ts.Defer(server.Close)
	spec.Stores = map[string]string{"script": server.URL + "/signatures"}
	r := fixtures.NewRelease(spec)
	ts.Check(registryAt(ts, host).Add(r.Images...))
	if _, ok := options["cosigned"]; ok {
		ts.Check(registryAt(ts, host).Add(fixtures.NewCosignSignature(r.Image.Repository, r.Image.Root, r.Reference())))
	}
	if dir, ok := options["store"]; ok {
		store = &fixtures.SignatureStore{}
		defer func() { ts.Check(store.Write(ts.MkAbs(dir))) }()
	}
	signScriptRelease(r, store, options)

	last := r.Components[len(r.Components)-1].Image
	ts.Setenv(args[0], r.Reference())
	ts.Setenv(args[0]+"_DIGEST", r.Image.Root.Digest.String())
	ts.Setenv(args[0]+"_BLOB", last.Blobs[len(last.Blobs)-1].Descriptor.Digest.String())
	ts.Setenv("FINGERPRINT", fixtures.ReleaseKey().Fingerprint())
	ts.Check(os.WriteFile(ts.MkAbs("release.pub"), fixtures.ReleaseKey().Armored(), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("other.pub"), fixtures.OtherKey().Binary(), 0o644))
}

func signScriptRelease(r fixtures.Release, store *fixtures.SignatureStore, options map[string]string) {
	d := r.Image.Root.Digest
	for name := range options {
		switch name {
		case "unsigned":
			return
		case "otherkey":
			store.Add(d, fixtures.OtherKey().Sign(fixtures.SignatureSpec{Digest: d, Reference: r.Reference()}))
			return
		case "otherdigest":
			store.Add(d, fixtures.SignRelease(r.Components[0].Image.Root.Digest, r.Reference()))
			return
		}
	}
	r.Sign(fixtures.ReleaseKey(), store)
}

// expandCommand writes a file with its $VARIABLES replaced: expand TEMPLATE FILE.
func expandCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expand TEMPLATE FILE")
	}
	expanded := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(expanded), 0o644))
}

// sametreeCommand wants directories with the same files and the same bytes in
// them, but for those of NAME: sametree [-but NAME] DIR DIR...
func sametreeCommand(ts *testscript.TestScript, neg bool, args []string) {
	but := ""
	if len(args) > 2 && args[0] == "-but" {
		but, args = args[1], args[2:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: sametree [-but NAME] DIR DIR...")
	}
	read := func(dir string) (names []string, content map[string]string) {
		entries, err := os.ReadDir(ts.MkAbs(dir))
		ts.Check(err)
		content = make(map[string]string)
		for _, e := range entries {
			names = append(names, e.Name())
			if e.Name() != but {
				content[e.Name()] = ts.ReadFile(filepath.Join(dir, e.Name()))
			}
		}
		return names, content
	}
	wantNames, want := read(args[0])
	for _, dir := range args[1:] {
		names, got := read(dir)
		if !slices.Equal(names, wantNames) {
			ts.Fatalf("%s has %q, %s has %q", args[0], wantNames, dir, names)
		}
		for _, name := range names {
			if got[name] != want[name] {
				ts.Fatalf("%s in %s differs from that in %s", name, dir, args[0])
			}
		}
	}
}
