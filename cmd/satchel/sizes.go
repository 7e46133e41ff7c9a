package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"satchel/bundle"
)

// discReserve is what the disc sizes leave for the file system and the small
// files beside the volumes, in bytes.
const discReserve = 16 << 20

// mediaSizes are the names that --volume-size takes, in bytes. A disc's capacity
// is the smaller of its kinds: 80-minute CD-R, DVD+R, DVD-R DL, BD-R.
func mediaSizes() []struct {
	name string
	size int64
} {
	return []struct {
		name string
		size int64
	}{
		{"fat32", 4_294_967_295},
		{"cd", 737_280_000 - discReserve},
		{"dvd", 4_700_372_992 - discReserve},
		{"dvd-dl", 8_543_666_176 - discReserve},
		{"bd", 25_025_314_816 - discReserve},
		{"bd-dl", 50_050_629_632 - discReserve},
	}
}

// byteSize is a flag value: a number of bytes, with or without a unit, or the
// name of a medium.
type byteSize struct {
	bytes int64
	media bool   // names of media are taken
	name  string // the name that was given
}

func (b *byteSize) String() string {
	if b.name != "" {
		return b.name
	}
	return strconv.FormatInt(b.bytes, 10)
}

// Type names the value in the help.
func (b *byteSize) Type() string { return "SIZE" }

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	if b.media {
		for _, m := range mediaSizes() {
			if m.name == strings.ToLower(s) {
				b.bytes, b.name = m.size, m.name
				return nil
			}
		}
	}
	n, err := parseBytes(s)
	b.bytes, b.name = n, ""
	return err
}

func parseBytes(s string) (int64, error) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	units := map[string]int64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}
	unit, ok := units[strings.ToLower(strings.TrimSpace(s[len(number):]))]
	if !ok {
		return 0, fmt.Errorf("%q is not a size: use bytes, KB, MB, GB, KiB, MiB or GiB", s)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > (1<<43)/unit {
		return 0, fmt.Errorf("%q is not a size from 1 byte to 8 TiB", s)
	}
	return n * unit, nil
}

func mediaHelp() string {
	var s []string
	for _, m := range mediaSizes() {
		s = append(s, fmt.Sprintf("%s = %d", m.name, m.size))
	}
	return "largest size of a volume: bytes, KB/MB/GB, KiB/MiB/GiB, or a medium: " + strings.Join(s, ", ") +
		fmt.Sprintf(" (discs leave %d bytes for file system and small files; above fat32 they need UDF)", discReserve)
}

// human renders bytes for people: "3.42 GiB".
func human(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.2f %s", v, units[i])
}

// volumeNumbers is a flag value: numbers of volumes, "3,5-7".
type volumeNumbers []int

// String implements pflag.Value.
func (v *volumeNumbers) String() string { return volumeRanges(*v) }

// Type names the value in the help.
func (v *volumeNumbers) Type() string { return "N,N-M" }

// Set implements pflag.Value. The numbers come out sorted, each once.
func (v *volumeNumbers) Set(s string) error {
	var numbers []int
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 1 || to < from || to > bundle.MaxVolumes {
			return fmt.Errorf("%q is no volume number from 1 to %d, and no range of them like 5-7", part, bundle.MaxVolumes)
		}
		for n := from; n <= to; n++ {
			numbers = append(numbers, n)
		}
	}
	*v = volumeNumbers(numbers).sorted()
	return nil
}

// sorted returns the numbers ascending, each once.
func (v volumeNumbers) sorted() []int {
	slices.Sort(v)
	return slices.Compact(v)
}
