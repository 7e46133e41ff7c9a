package bundle

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// choose decides of which plan the bundle is, when media hold more than one
// thing: an inventory says it if a volume agrees, else most volumes do.
func (b *Bundle) choose(files []*found, inventories []foundInventory) (name string, err error) {
	count := make(map[digest.Digest]int)
	for _, f := range files {
		if f.err == nil {
			count[f.header.Plan]++
		}
	}
	for _, inv := range inventories {
		if version := (*VersionError)(nil); errors.As(inv.err, &version) && len(count) == 0 {
			return "", fmt.Errorf("%s on %s: %w", inventoryName, inv.medium, inv.err)
		}
		if inv.err == nil && count[inv.Plan] == 0 && len(count) > 0 {
			inv.err = fmt.Errorf("it is of plan %s, and no volume is", inv.Plan)
		}
		if inv.err != nil {
			b.Damage = append(b.Damage, &DamageError{File: inventoryName, Medium: inv.medium, Offset: -1, Err: inv.err})
			continue
		}
		if b.PlanID != "" && inv.Plan != b.PlanID {
			return "", &MixedError{First: fmt.Sprintf("%s, plan %s", name, b.PlanID), Second: fmt.Sprintf("%s on %s, plan %s", inv.Name, inv.medium, inv.Plan)}
		}
		b.inventories = append(b.inventories, inv)
		b.PlanID, name = inv.Plan, inv.Name
	}
	if b.PlanID != "" {
		return name, nil
	}
	for _, f := range files {
		if f.err == nil && (b.PlanID == "" || count[f.header.Plan] > count[b.PlanID]) {
			b.PlanID, name = f.header.Plan, f.header.Name
		}
	}
	for id, n := range count {
		if id != b.PlanID && n == count[b.PlanID] {
			return "", &MixedError{First: fmt.Sprintf("%s, plan %s", name, b.PlanID), Second: fmt.Sprintf("plan %s", id)}
		}
	}
	if b.PlanID == "" {
		name = files[0].prefix
	}
	return name, nil
}

// adopt takes the volumes that are the bundle's, and those whose name says that
// they should be.
func (b *Bundle) adopt(files []*found, name string) {
	for _, f := range files {
		damaged := func(err error) {
			b.Damage = append(b.Damage, &DamageError{File: f.Name, Medium: f.Medium, Offset: 0, Err: err})
		}
		switch {
		case f.err == nil && f.header.Plan == b.PlanID:
			f.Whole = true
			if f.Name != volumeName(name, f.header.Number) {
				damaged(fmt.Errorf("it is volume %d of %s, not what its name says", f.header.Number, f.header.Name))
			}
			f.Number = f.header.Number
		case f.err == nil:
			damaged(fmt.Errorf("it belongs to another bundle, %s, plan %s", f.header.Name, f.header.Plan))
			continue
		default:
			var damage *DamageError
			if errors.As(f.err, &damage) {
				b.Damage = append(b.Damage, damage)
			}
			if f.prefix != name || f.Size == 0 {
				continue
			}
		}
		b.Volumes = append(b.Volumes, f.VolumeFile)
	}
	// Of two copies the whole one comes first.
	slices.SortStableFunc(b.Volumes, func(x, y *VolumeFile) int {
		if x.Number != y.Number {
			return x.Number - y.Number
		}
		if x.Whole != y.Whole && x.Whole {
			return -1
		}
		return 0
	})
}

// settleInventory takes the inventory that agrees with the plan; of several that
// do, the one that says that least is missing and, as when one of them was
// changed, that most media have.
func (b *Bundle) settleInventory() {
	damaged := func(inv foundInventory, err error) {
		b.Damage = append(b.Damage, &DamageError{File: inventoryName, Medium: inv.medium, Offset: -1, Err: err})
	}
	count := make(map[digest.Digest]int)
	var best foundInventory
	b.inventories = slices.DeleteFunc(b.inventories, func(inv foundInventory) bool {
		if b.Prologue != nil {
			if err := inv.Agrees(b.Prologue); err != nil {
				damaged(inv, err)
				return true
			}
		}
		count[inv.id]++
		return false
	})
	for _, inv := range b.inventories {
		if best.Inventory == nil || len(inv.Missing) < len(best.Missing) ||
			len(inv.Missing) == len(best.Missing) && count[inv.id] > count[best.id] {
			best = inv
		}
	}
	for _, inv := range b.inventories {
		switch {
		case inv.id == best.id:
		case len(inv.Missing) == len(best.Missing):
			damaged(inv, fmt.Errorf("it differs from that on %s", best.medium))
		default:
			// It says that more is missing: it is from before volumes were made
			// again, and describes those from then.
			b.older = append(b.older, inv.Inventory)
		}
	}
	if b.inventories = nil; best.Inventory != nil {
		b.Inventory, b.BundleID = best.Inventory, best.id
	}
}

// dropStrays gives up files whose names say a number that the bundle does not
// have.
func (b *Bundle) dropStrays() {
	count := MaxVolumes
	if b.Prologue != nil {
		count = b.Prologue.plan.Volumes
	}
	b.Volumes = slices.DeleteFunc(b.Volumes, func(v *VolumeFile) bool {
		stray := v.Number < 1 || v.Number > count
		if stray {
			b.Damage = append(b.Damage, &DamageError{File: v.Name, Medium: v.Medium, Offset: -1,
				Err: fmt.Errorf("the bundle has no volume %d, only %d", v.Number, count)})
		}
		return stray
	})
}
