package database_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"satchel/oci/catalog"
	"satchel/oci/catalog/database"
)

func TestColumns(t *testing.T) {
	tests := map[string]struct {
		want  []string
		cause error
	}{
		"CREATE TABLE t(a)":                                                      {[]string{"a"}, nil},
		"create table \"t(\"\n(A text,b\tint , c)":                               {[]string{"a", "b", "c"}, nil},
		"CREATE TABLE t([a b] x, 'c''d', `e``,`, f)":                             {[]string{"a b", "c'd", "e`,", "f"}, nil},
		`CREATE TABLE t("primary" text, "as", "a""b")`:                           {[]string{"primary", "as", `a"b`}, nil},
		"CREATE TABLE t(a decimal(1,2) default (3,4) check (a in (5,')',6)), b)": {[]string{"a", "b"}, nil},
		"CREATE TABLE t(a --x, y\n,b/*, z*/,c text--, d\n)":                      {[]string{"a", "b", "c"}, nil},
		"CREATE TABLE t(a, primary key(a, x), constraint c unique(y), foreign key(z) references u(v), check (w, w))": {[]string{"a"}, nil},
		"CREATE TABLE t(a text generated always as (b) virtual, b)":                                                  {nil, database.ErrUnsupported},
		"CREATE TABLE t(a as (b))":                {nil, database.ErrUnsupported},
		"CREATE TABLE t(primary as)":              {nil, database.ErrUnsupported},
		"CREATE TABLE t(a primary key) STRICT":    {[]string{"a"}, nil},
		"CREATE TABLE t(a) strict, Without rowid": {nil, database.ErrUnsupported},
		"CREATE TABLE t()":                        {nil, nil},
		"CREATE VIEW t as select 1":               {nil, database.ErrMalformed},
		"CREATE VIRTUAL TABLE t using x(a)":       {nil, database.ErrMalformed},
		"CREATE 'TABLE' t(a)":                     {nil, database.ErrMalformed},
		"CREATE TABLE t":                          {nil, database.ErrMalformed},
		"CREATE TABLE t(a":                        {nil, database.ErrMalformed},
		"CREATE TABLE t(a 'b)":                    {nil, database.ErrMalformed},
		"CREATE TABLE t(a /* b)":                  {nil, database.ErrMalformed},
		"CREATE TABLE t((((":                      {nil, database.ErrMalformed},
		"":                                        {nil, database.ErrMalformed},
		"CREATE TABLE t(" + strings.Repeat("a,", database.MaxColumns) + "a)": {nil, catalog.ErrLimit},
	}
	for sql, test := range tests {
		got, err := database.Columns(sql)
		if err == nil && !slices.Equal(got, test.want) || !errors.Is(err, test.cause) || err != nil && test.cause == nil {
			t.Errorf("%.100s: %q, %v; want %q, %v", sql, got, err, test.want, test.cause)
		}
	}
}
