package verify_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"satchel/verify"
)

// withHeader returns a volume with another header, in good form.
func withHeader(t testing.TB, volume, plan string, number, count int) string {
	t.Helper()
	const head, content = 10 + 3, 1024
	header := fmt.Appendf(nil, `{"count":%d,"name":"test","number":%d,"plan":%q,"version":1}`+"\n", count, number, plan)
	var block bytes.Buffer
	w := tar.NewWriter(&block)
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: fmt.Sprintf("satchel/volume-%04d.json", number), Size: int64(len(header)), Mode: 0o644,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := []byte(volume)
	inner := b[head : head+content]
	clear(inner)
	copy(inner, block.Bytes())
	copy(inner[512:], header)
	binary.LittleEndian.PutUint32(b[head+content:], uint32(xxhash.Sum64(inner)))
	return string(b)
}

// A header may lie in good form: about its number, or about how many there are.
func TestForgedHeader(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	plan, volumes := b.PlanID.String(), b.Prologue.Plan().Volumes
	if again := withHeader(t, all[volumeName(2)], plan, 2, volumes); again != all[volumeName(2)] {
		t.Fatal("the header of volume 2 is not what this test takes it for")
	}
	for _, inventory := range []string{all["inventory.json"], ""} {
		for _, quick := range []bool{false, true} {
			for number, name := range map[int]string{1: volumeName(3), 3: volumeName(2), 9: volumeName(9), 99: "test-0099.tar.zst", 9999: "test-9999.tar.zst"} {
				for _, count := range []int{volumes, max(number, volumes+1), 9999} {
					if number > count {
						continue
					}
					m := maps.Clone(all.with("inventory.json", inventory))
					m[name] = withHeader(t, all[volumeName(2)], plan, number, count)
					r := check(t, verify.Options{Quick: quick}, m)
					if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
						t.Errorf("%s says it is %d of %d, inventory %t, quick %t: %v", name, number, count, inventory != "", quick, r.Err())
					}
				}
			}
		}
	}
}
