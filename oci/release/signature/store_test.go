package signature_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci/release/signature"
)

// serve runs a server on 127.0.0.1 that has files by path and answers others with 404.
func serve(t *testing.T, handler http.HandlerFunc) (url string, client *http.Client) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL, server.Client()
}

func TestHTTPStore(t *testing.T) {
	const at = "/signatures/openshift/release/sha256="
	url, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch hex := digestA.Encoded(); r.RequestURI {
		case at + hex + "/signature-1":
			fmt.Fprintf(w, "first for %s %s", user, password)
		case at + hex + "/signature-1?token=t":
			fmt.Fprint(w, "with query")
		case at + hex + "/signature-2":
			w.Write(make([]byte, signature.MaxSize))
		case at + hex + "/signature-3":
			w.Write(make([]byte, signature.MaxSize+1))
		case at + hex + "/signature-4":
			w.WriteHeader(http.StatusInternalServerError)
		case at + hex + "/signature-4?token=secret":
			w.WriteHeader(http.StatusForbidden)
		case at + hex + "/signature-5":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("cut"))
		case at + hex + "/signature-6":
			http.Redirect(w, r, at+hex+"/signature-1", http.StatusFound)
		case at + hex + "/signature-7":
			http.Redirect(w, r, r.RequestURI, http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	})
	base := url + "/signatures/openshift/release"
	withUser := strings.Replace(base, "://", "://someone:secret@", 1)
	for _, test := range []struct {
		name, url string
		n         int
		want, err string
	}{
		{"first", base, 1, "first for  ", ""},
		{"slash at the end", base + "/", 1, "first for  ", ""},
		{"credentials", withUser, 1, "first for someone secret", ""},
		{"query", base + "?token=t", 1, "with query", ""},
		{"the largest", base, 2, string(make([]byte, signature.MaxSize)), ""},
		{"too large", withUser, 3, "", signature.ErrTooLarge.Error()},
		{"500", withUser, 4, "", "status 500 Internal Server Error"},
		{"403", withUser + "?token=secret", 4, "", "status 403 Forbidden"},
		{"cut", withUser, 5, "", "unexpected EOF"},
		{"redirect", base, 6, "first for  ", ""},
		{"redirect without end", withUser, 7, "", "stopped after 10 redirects"},
		{"none", withUser, 9, "", fs.ErrNotExist.Error()},
		{"another path", url + "/secret", 1, "", fs.ErrNotExist.Error()},
		{"another scheme", "file:///secret", 1, "", "not an http or https URL"},
		{"no URL", "http://someone:secret@%zz/", 1, "", "not an http or https URL"},
		{"no host", "secret/release", 1, "", "not an http or https URL"},
	} {
		got, err := signature.NewHTTPStore(test.url, client).Signature(t.Context(), digestA, test.n)
		if string(got) != test.want || (err != nil) != (test.err != "") {
			t.Errorf("%s: got %.80q, %v", test.name, got, err)
			continue
		}
		if err == nil {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) != (test.err == fs.ErrNotExist.Error()) || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got error %v, want %q", test.name, err, test.err)
		}
		if test.name != "another path" && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "someone")) {
			t.Errorf("%s: the error shows credentials: %v", test.name, err)
		}
	}
	if _, err := signature.NewHTTPStore(base, client).Signature(t.Context(), "sha256:../x", 1); err == nil {
		t.Error("a digest that is none was asked for")
	}
}

func TestHTTPStoreUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	store := signature.NewHTTPStore("http://someone:secret@"+address+"/x?token=secret", http.DefaultClient)
	_, err = store.Signature(t.Context(), digestA, 1)
	if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), address) ||
		strings.Contains(err.Error(), "someone") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Signature(ctx, digestA, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func dirStore(t *testing.T, dir string) signature.Store {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return signature.NewDirStore(root)
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDirStore(t *testing.T) {
	a, b := digestA.Encoded(), digestB.Encoded()
	for _, test := range []struct {
		name  string
		files string // each holds its own name
		want  string
	}{
		{"web", "sha256=A/signature-1 sha256=A/signature-2 sha256=B/signature-1", "sha256=A/signature-1 sha256=A/signature-2"},
		{"a gap", "sha256=A/signature-1 sha256=A/signature-3", "sha256=A/signature-1"},
		{"from 1", "sha256=A/signature-0 sha256=A/signature-2", ""},
		{"without =", "sha256-A/signature-1", "sha256-A/signature-1"},
		{"oc-mirror", "4.15.0-x86_64-sha256-A 4.16.0-x86_64-sha256-B", "4.15.0-x86_64-sha256-A"},
		{"two tags", "4.15.0-x86_64-sha256-A 4.15.0-sha256-A", "4.15.0-sha256-A 4.15.0-x86_64-sha256-A"},
		{"ConfigMap", "sha256-A-1 sha256-A-2 sha256-B-1", "sha256-A-1 sha256-A-2"},
		{"no number", "sha256-A", "sha256-A"},
		{"all", "sha256-A-1 sha256=A/signature-1 x-sha256-A", "sha256=A/signature-1 sha256-A-1 x-sha256-A"},
		{"other files", "xsha256-A sha256-A.tmp sha256-A-x sha256-Ab sha256-A- x/sha256-A", ""},
		{"empty", "", ""},
	} {
		dir := t.TempDir()
		full := strings.NewReplacer("A", a, "B", b).Replace
		for _, name := range strings.Fields(full(test.files)) {
			write(t, dir, name, []byte(name))
		}
		raws, err := signature.Collect(t.Context(), []signature.Store{dirStore(t, dir)}, digestA)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := string(bytes.Join(raws, []byte(" "))); got != full(test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, full(test.want))
		}
	}
}

func TestDirStoreRefuses(t *testing.T) {
	name := "sha256=" + digestA.Encoded() + "/signature-1"
	outside := t.TempDir()
	write(t, outside, "file", []byte("outside"))
	for what, prepare := range map[string]func(dir string) error{
		"too large": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, name), make([]byte, signature.MaxSize+1), 0o644)
		},
		"directory": func(dir string) error { return os.Mkdir(filepath.Join(dir, name), 0o755) },
		"link out": func(dir string) error {
			return os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, name))
		},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := prepare(dir); err != nil {
			fixtures.Lacking(t, "a file system with a "+what, err)
		}
		got, err := dirStore(t, dir).Signature(t.Context(), digestA, 1)
		if err == nil || errors.Is(err, fs.ErrNotExist) || got != nil ||
			what == "directory" && !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: got %q, %v", what, got, err)
		}
		if _, err := dirStore(t, dir).Signature(t.Context(), digestB, 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: another digest: %v", what, err)
		}
	}
	if _, err := dirStore(t, t.TempDir()).Signature(t.Context(), "sha256:../x", 1); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a digest that is none: %v", err)
	}
}

// listStore has signatures, and fails after the last when err is not nil.
type listStore struct {
	raws []string
	err  error
	then func()
	most *int // the highest number asked for
}

func (s listStore) Signature(_ context.Context, _ digest.Digest, n int) ([]byte, error) {
	if s.most != nil {
		*s.most = max(*s.most, n)
	}
	if n <= len(s.raws) {
		return []byte(s.raws[n-1]), nil
	}
	if s.then != nil {
		s.then()
	}
	if s.err != nil {
		return nil, s.err
	}
	return nil, fmt.Errorf("%d: %w", n, fs.ErrNotExist)
}

func TestCollect(t *testing.T) {
	down := errors.New("is down")
	var many []string
	for i := range 20 {
		many = append(many, strconv.Itoa(i+1))
	}
	most := 0
	for _, test := range []struct {
		name   string
		stores []signature.Store
		want   string
		err    bool
	}{
		{"one after another", []signature.Store{listStore{raws: []string{"a", "b"}}, listStore{raws: []string{"c"}}}, "a b c", false},
		{"the same", []signature.Store{listStore{raws: []string{"a", "a", "b"}}, listStore{raws: []string{"b", "c"}}}, "a b c", false},
		{"one is down", []signature.Store{listStore{err: down}, listStore{raws: []string{"c"}}}, "c", false},
		{"goes down", []signature.Store{listStore{raws: []string{"a"}, err: down}}, "a", false},
		{"one is down, the other has none", []signature.Store{listStore{err: down}, listStore{}}, "", true},
		{"none", []signature.Store{listStore{}, listStore{}}, "", false},
		{"no store", nil, "", false},
		{"no more than clusters look for", []signature.Store{listStore{raws: many, most: &most}}, "1 2 3 4 5 6 7 8 9", false},
	} {
		raws, err := signature.Collect(t.Context(), test.stores, digestA)
		if got := string(bytes.Join(raws, []byte(" "))); got != test.want || errors.Is(err, down) != test.err || (err != nil) != test.err {
			t.Errorf("%s: got %q, %v", test.name, got, err)
		}
	}
	if most != 9 {
		t.Errorf("signature %d was asked for", most)
	}

	ctx, cancel := context.WithCancel(t.Context())
	stopped := listStore{raws: []string{"a"}, err: down, then: cancel}
	if raws, err := signature.Collect(ctx, []signature.Store{stopped, listStore{raws: []string{"b"}}}, digestA); !errors.Is(err, context.Canceled) || raws != nil {
		t.Errorf("interrupted: got %q, %v", raws, err)
	}
}
