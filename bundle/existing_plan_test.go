package bundle_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"satchel/bundle"
)

// TestReadPlan finds the plan in all that can have it.
func TestReadPlan(t *testing.T) {
	b := newStanding(t)
	plan, one, two := "standing.plan.json", b.volumes[0].Name, b.volumes[1].Name
	start := b.prologue.Size()
	unfinished := func(size int64) medium { return medium{plan: b.m[plan], one + ".part": b.m[one][:size]} }
	for _, test := range []struct {
		name, read string
		m          medium
		contents   bool
	}{
		{"a plan", plan, b.m, false},
		{"a plan under another name", "x", medium{"x": b.m[plan]}, false},
		{"a volume", two, b.m, true},
		{"an unfinished volume", one + ".part", unfinished(start), true},
		{"a directory", ".", b.m, true},
		{"a directory without the plan's file", ".", b.m.without(plan), true},
		{"a directory with the plan alone", ".", medium{plan: b.m[plan]}, false},
		{"a directory with an unfinished volume", ".", unfinished(start), true},
		{"a directory with the half of a prologue", ".", unfinished(start - 100), false},
		{"a directory with the half of a header", ".", unfinished(100), false},
		{"a directory with an unfinished volume alone", ".", unfinished(start).without(plan), true},
		{"a directory with a damaged volume first", ".", b.m.with(one, b.m[one][:100]), true},
	} {
		got, contents, err := bundle.ReadPlan(bundle.Medium{Name: "stick", FS: test.m.fs()}, test.read)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		encoded, err := got.Encode()
		if err != nil || !bytes.Equal(encoded, b.m[plan]) || (contents != nil) != test.contents {
			t.Errorf("%s: %s, %d manifests, %v", test.name, encoded, len(contents), err)
		}
		if test.contents {
			if _, err := bundle.NewPrologue(got, contents); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
}

// TestReadPlanRefuses has none, or more than one.
func TestReadPlanRefuses(t *testing.T) {
	b := newStanding(t)
	plan, one := "standing.plan.json", b.volumes[0].Name
	golden := medium(readFiles(t, goldenDir))
	other := golden["golden-0001.tar.zst"]
	for _, test := range []struct {
		name, read string
		m          medium
		is         func(error) bool
	}{
		{"nothing", ".", medium{}, func(err error) bool { return errors.Is(err, bundle.ErrNoPlan) }},
		{"other files", ".", medium{"x": nil, "inventory.json": b.m["inventory.json"]}, func(err error) bool { return errors.Is(err, bundle.ErrNoPlan) }},
		{"a damaged volume alone", ".", medium{one: b.m[one][:100]}, func(err error) bool { return errors.Is(err, bundle.ErrNoPlan) }},
		{"two plans", ".", medium{plan: b.m[plan], "golden.plan.json": golden["golden.plan.json"]}, isMixed},
		{"a volume of another plan", ".", medium{plan: b.m[plan], one: other}, isMixed},
		{"an unfinished volume of another plan", ".", medium{plan: b.m[plan], "golden-0001.tar.zst.part": other[:2000]}, isMixed},
		{"volumes of two plans", ".", medium{one: b.m[one], "golden-0001.tar.zst": other}, isMixed},
		{"a damaged plan", ".", medium{plan: b.m[plan][:100]}, func(err error) bool { return err != nil }},
		{"no such file", plan, medium{}, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{"no such volume", one, medium{}, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{"a volume cut in its prologue", one, medium{one: b.m[one][:b.prologue.Size()-1]}, func(err error) bool { return err != nil }},
		{"an inventory", "inventory.json", b.m, func(err error) bool { return err != nil }},
	} {
		_, _, err := bundle.ReadPlan(bundle.Medium{Name: "stick", FS: test.m.fs()}, test.read)
		if !test.is(err) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func isMixed(err error) bool {
	mixed := (*bundle.MixedError)(nil)
	return errors.As(err, &mixed)
}

// TestPlanOf reads the plan ID from the header of a volume.
func TestPlanOf(t *testing.T) {
	b := newStanding(t)
	one := b.volumes[0].Name
	m := medium{one: b.m[one], one + ".part": b.m[one][:1041], "short": b.m[one][:1040]}
	for name, good := range map[string]bool{one: true, one + ".part": true, "short": false, "none": false} {
		id, err := bundle.PlanOf(bundle.Medium{Name: "stick", FS: m.fs()}, name)
		if (err == nil) != good || good && id != b.prologue.PlanID() {
			t.Errorf("%s: %s, %v", name, id, err)
		}
	}
	for name, number := range map[string]int{one: 1, one + ".part": 1, "/media/x-0042.tar.zst": 42, "x-42.tar.zst": 0, "inventory.json": 0} {
		if got, ok := bundle.VolumeNumber(name); ok != (number > 0) || ok && got != number {
			t.Errorf("%s: %d, %t", name, got, ok)
		}
	}
}
