package verify_test

import (
	"errors"
	"fmt"

	"satchel/verify"
)

// A report is a success only when Err is nil, whatever it lacks.
func ExampleReport_Err() {
	for _, report := range []*verify.Report{
		{OK: true},
		{Quick: true},
		{MissingVolumes: []int{3}},
		{MissingVolumes: []int{3}, Findings: []verify.Finding{{Volume: "ocp-0001.tar.zst", Offset: 4096, Problem: "frame: invalid checksum"}}},
		{},
	} {
		switch err := report.Err(); {
		case err == nil:
			fmt.Println("it is whole")
		case errors.Is(err, verify.ErrDamage):
			fmt.Println("get another copy:", err)
		case errors.Is(err, verify.ErrMissing):
			fmt.Println("look for the other stick:", err)
		default:
			fmt.Println("not known to be whole:", err)
		}
	}
	// Output:
	// it is whole
	// not known to be whole: only structure and sizes were checked
	// look for the other stick: something is missing
	// get another copy: damage found
	// not known to be whole: verification did not come to its end
}
