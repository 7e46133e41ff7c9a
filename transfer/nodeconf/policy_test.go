package nodeconf_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"satchel/transfer/nodeconf"
)

const payload = "release-reg.io/image/release"

// TestPolicy has the cases of openshift/machine-config-operator's
// TestUpdatePolicyJSON that are without ClusterImagePolicy: DEFAULT, then the docker
// scopes, "-" before what is rejected.
func TestPolicy(t *testing.T) {
	tests := []struct{ allowed, blocked, docker, missing string }{
		{"allow.io *.allowed-example.com", "", "-* *.allowed-example.com allow.io", ""},
		{"", "block.com *.blocked-example.com", "* -*.blocked-example.com -block.com", ""},
		{payload, "block.com", "* -block.com " + payload, ""},
		{payload, "block.com release-reg.io", "* -block.com -release-reg.io " + payload, ""},
		{"allow.io allow.io/a/b allow.io/a/b/c", "", "-* allow.io allow.io/a/b allow.io/a/b/c", "allow.io/a/b/c"},
		{"", "block.com block.com/a/b block.com/a/b/c", "* -block.com -block.com/a/b -block.com/a/b/c", "-block.com/a/b/c"},
	}
	for _, test := range tests {
		data, err := nodeconf.Policy(strings.Fields(test.allowed), strings.Fields(test.blocked), payload)
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		var file struct {
			Default    []struct{ Type string }
			Transports map[string]map[string][]struct{ Type string }
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		scopes := func(transport string) []string {
			var all []string
			for scope, r := range file.Transports[transport] {
				if len(r) != 1 {
					t.Errorf("%s has %v", scope, r)
				}
				all = append(all, sign(r[0].Type)+scope)
			}
			slices.Sort(all)
			return all
		}
		want := strings.Fields(test.docker)
		slices.Sort(want[1:])
		if got := append([]string{sign(file.Default[0].Type) + "*"}, scopes("docker")...); !slices.Equal(got, want) {
			t.Errorf("%+v: got %q, want %q", test, got, want)
		}
		atomic := slices.DeleteFunc(want[1:], func(s string) bool { return s == test.missing })
		if got := scopes("atomic"); !slices.Equal(got, atomic) {
			t.Errorf("%+v: atomic has %q, want %q", test, got, atomic)
		}
		if got := scopes("docker-daemon"); !slices.Equal(got, []string{""}) {
			t.Errorf("%+v: docker-daemon has %q", test, got)
		}
	}
}

func sign(requirement string) string {
	return map[string]string{"reject": "-", "insecureAcceptAnything": ""}[requirement]
}

func TestPolicyBytes(t *testing.T) {
	got, err := nodeconf.Policy(nil, []string{"a.io"}, "")
	const want = `{
  "default": [
    {
      "type": "insecureAcceptAnything"
    }
  ],
  "transports": {
    "atomic": {
      "a.io": [
        {
          "type": "reject"
        }
      ]
    },
    "docker": {
      "a.io": [
        {
          "type": "reject"
        }
      ]
    },
    "docker-daemon": {
      "": [
        {
          "type": "insecureAcceptAnything"
        }
      ]
    }
  }
}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err := nodeconf.Policy(nil, nil, ""); err != nil || !strings.HasPrefix(string(got), "{\n    \"default\": [\n") || !json.Valid(got) {
		t.Errorf("for nothing: %v\n%s", err, got)
	}
	for _, lists := range [][2][]string{{{"a.io"}, {"b.io"}}, {{payload, payload}, {"b.io"}}, {{"a.*.io"}, nil}, {nil, {"*.a/b"}}} {
		if got, err := nodeconf.Policy(lists[0], lists[1], payload); err == nil {
			t.Errorf("%q: accepted\n%s", lists, got)
		}
	}
	if _, err := nodeconf.Policy([]string{""}, []string{"b.io"}, ""); err == nil {
		t.Error("an empty payload is allowed beside blocked registries")
	}
}

func TestBlockPayload(t *testing.T) {
	mirrored := entries(payload + ":: mirror.io/r")
	tests := []struct {
		name string
		o    nodeconf.Cluster
		want string // registries, allowed, blocked; or the error
	}{
		{"another registry", nodeconf.Cluster{Blocked: []string{"a.io"}, Allowed: []string{"z.io"}}, "[a.io] [z.io] [a.io]"},
		{"its registry", nodeconf.Cluster{Blocked: []string{"a.io", "release-reg.io"}, IDMS: mirrored}, "[a.io release-reg.io] [" + payload + "] [a.io release-reg.io]"},
		{"itself, beside another", nodeconf.Cluster{Blocked: []string{"a.io", payload}, ICSP: mirrored}, "[a.io " + payload + "] [" + payload + "] [a.io]"},
		{"twice", nodeconf.Cluster{Blocked: []string{"release-reg.io", payload}, IDMS: mirrored}, "[release-reg.io " + payload + "] [" + payload + " " + payload + "] [release-reg.io]"},
		{"a mirror of what is around", nodeconf.Cluster{Blocked: []string{"*.io"}, IDMS: entries("release-reg.io:: mirror.net/r")}, "[*.io] [" + payload + "] [*.io]"},
		{"no mirror", nodeconf.Cluster{Blocked: []string{"release-reg.io"}}, "blocked registry release-reg.io has the release image"},
		{"a mirror for tags", nodeconf.Cluster{Blocked: []string{"release-reg.io"}, ITMS: mirrored}, "blocked registry release-reg.io has the release image"},
		{"a blocked mirror", nodeconf.Cluster{Blocked: []string{"release-reg.io", "mirror.io"}, IDMS: mirrored}, "blocked registry release-reg.io has the release image"},
		{"itself alone", nodeconf.Cluster{Blocked: []string{payload}, IDMS: mirrored}, "blocked registry " + payload + " is the release image's own"},
	}
	for _, test := range tests {
		registries, allowed, blocked, err := nodeconf.BlockPayload(test.o, payload)
		got := fmt.Sprint(registries, " ", allowed, " ", blocked)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	if _, _, _, err := nodeconf.BlockPayload(nodeconf.Cluster{}, "x"); err == nil {
		t.Error("a payload without registry is accepted")
	}
}
