package catalog_test

import (
	"strings"
	"testing"

	"satchel/oci/catalog"
)

// TestYAML converts values as opm does, by sigs.k8s.io/yaml, which gave what is
// wanted here.
func TestYAML(t *testing.T) {
	const document = `schema: x
a: yes
b: 'yes'
c: 2024-01-02
d: 0777
e: 1.50
f: ~
g: !!str 1
h: !!binary aGk=
1: x
no: x
2.5: y
i: |
  text
  "more" \
j: 12345678901234567890
k: 1e3
l: 0x1F
m: 1_000
<é>: <é>
o: .5
p: +1
q: 0o17
r: 1:30
s: =
t: 1.0
u: 123456789012345678901234567890
w: 2024-01-02T03:04:05Z
x: 0b11
z: 4.13.0
aa: [on, Off, "on", {}, []]
`
	const want = `{"schema":"x","a":true,"b":"yes","c":"2024-01-02","d":511,"e":1.5,"f":null,"g":"1","h":"hi","1":"x","false":"x","2.5":true,` +
		`"i":"text\n\"more\" \\\n","j":12345678901234567890,"k":1000,"l":31,"m":1000,"<é>":"<é>","o":0.5,"p":1,"q":15,"r":"1:30","s":"=","t":1,` +
		`"u":1.2345678901234568e+29,"w":"2024-01-02T03:04:05Z","x":3,"z":"4.13.0","aa":[true,false,"on",{},[]]}` + "\n"
	all := files("a.yaml", document+"---\nschema: olm.package\nname: etcd\ndefaultChannel: 'é<'\n")
	got := write(t, choose(t, read(t, all), catalog.Request{Full: true}), all)
	got, rest, _ := strings.Cut(got, "\n")
	if got+"\n" != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if rest != `{"schema":"olm.package","name":"etcd","defaultChannel":"é<"}`+"\n" {
		t.Error(rest)
	}
}
