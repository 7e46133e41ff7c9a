package transfer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/transfer"
)

func TestDestinations(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	type image struct {
		reference string
		digest    digest.Digest
	}
	long := strings.Repeat("p", 200)
	tests := []struct {
		name   string
		images []image
		to     string
		naming transfer.Naming
		want   []string // nil: ErrNaming
		says   []string
	}{
		{"path", []image{{"quay.io/org/app:1", a}}, "site.example:5000", transfer.NamingPath, []string{"site.example:5000/org/app:1"}, nil},
		{"path is the default", []image{{"quay.io/org/app:1", a}}, "site.example/mirror/x", "", []string{"site.example/mirror/x/org/app:1"}, nil},
		{"host", []image{{"quay.io/org/app:1", a}}, "site.example/m", transfer.NamingHost, []string{"site.example/m/quay.io/org/app:1"}, nil},
		{"host with a port", []image{{"Quay.IO:8443/app:1", a}}, "s/m", transfer.NamingHost, []string{"s/m/quay.io-8443/app:1"}, nil},
		{"names are kept", []image{{"quay.io/org/app:1", a}}, "", transfer.NamingPath, []string{"quay.io/org/app:1"}, nil},
		{"by digest", []image{{"quay.io/app@" + a.String(), a}}, "s", transfer.NamingPath, []string{"s/app:digest-" + a.Encoded()}, nil},
		{"tag and digest", []image{{"quay.io/app:1@" + a.String(), a}}, "s", transfer.NamingPath, []string{"s/app:1"}, nil},
		{"same image twice", []image{{"quay.io/app:1", a}, {"docker.io/app:1", a}}, "s", transfer.NamingPath, []string{"s/app:1", "s/app:1"}, nil},
		{"other tags", []image{{"quay.io/app:1", a}, {"quay.io/app:2", b}}, "s", transfer.NamingPath, []string{"s/app:1", "s/app:2"}, nil},
		{"none", nil, "s", transfer.NamingPath, []string{}, nil},
		{"conflict", []image{{"quay.io/app:1", a}, {"docker.io/app:1", b}}, "s", transfer.NamingPath, nil, []string{"quay.io/app:1", "docker.io/app:1", "s/app:1"}},
		{"no conflict by host", []image{{"quay.io/app:1", a}, {"docker.io/app:1", b}}, "s", transfer.NamingHost, []string{"s/quay.io/app:1", "s/docker.io/app:1"}, nil},
		{"conflict of hosts", []image{{"h:1/app:1", a}, {"h-1/app:1", b}}, "s", transfer.NamingHost, nil, []string{"h:1/app:1", "h-1/app:1"}},
		{"conflict with a digest's tag", []image{{"q.io/app@" + a.String(), a}, {"q.io/app:digest-" + a.Encoded(), b}}, "s", transfer.NamingPath, nil, []string{"digest-" + a.Encoded()}},
		{"too long", []image{{"quay.io/" + long + ":1", a}}, "site.example/" + long, transfer.NamingPath, nil, []string{"255"}},
		{"host that is no component", []image{{"[::1]:5000/app:1", a}}, "s", transfer.NamingHost, nil, []string{"[::1]:5000/app:1"}},
		{"bad prefix", []image{{"quay.io/app:1", a}}, "s/UPPER", transfer.NamingPath, nil, []string{"s/UPPER/app"}},
	}
	for _, test := range tests {
		plan := &bundle.Plan{}
		for _, i := range test.images {
			plan.Images = append(plan.Images, bundle.Image{Reference: i.reference, Root: bundle.Content{Digest: i.digest}})
		}
		got, err := transfer.Destinations(plan, transfer.Names{To: test.to, Naming: test.naming})
		if test.want == nil {
			if !errors.Is(err, transfer.ErrNaming) {
				t.Errorf("%s: got %v, %v", test.name, got, err)
				continue
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%s: the error does not say %s: %v", test.name, says, err)
				}
			}
			continue
		}
		names := []string{}
		for _, d := range got {
			names = append(names, d.String())
		}
		if err != nil || !slices.Equal(names, test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.name, names, err, test.want)
		}
	}
	if _, err := transfer.Destinations(&bundle.Plan{Images: []bundle.Image{{Reference: "../etc/passwd"}}}, transfer.Names{To: "s"}); err == nil {
		t.Error("a reference that is none is taken")
	}
}
