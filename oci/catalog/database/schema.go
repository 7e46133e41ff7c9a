package database

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// table is what sqlite_schema says of a table.
type table struct {
	name    string
	root    uint32
	columns []string // in lower case
}

// schema finds the tables of these names, in lower case; those that do not exist
// are not in the result.
func (f *file) schema(names []string) (map[string]table, error) {
	tables := make(map[string]table)
	wanted := []column{
		{"type", 0, MaxText}, {"name", 1, MaxText}, {"rootpage", 3, MaxText}, {"sql", 4, MaxSchema},
	}
	err := f.rows(1, func(row *payload) error {
		values, err := row.record(wanted)
		if err != nil {
			return err
		}
		kind, name := values[0], strings.ToLower(values[1])
		// Indexes and triggers have names of their own.
		if !slices.Contains(names, name) || kind != "table" && kind != "view" {
			return nil
		}
		if _, ok := tables[name]; ok {
			return malformed("two tables %s", name)
		}
		t, err := newTable(kind, name, values[2], values[3])
		tables[name] = t
		return err
	})
	if err != nil {
		return nil, in(err, "sqlite_schema")
	}
	return tables, nil
}

func newTable(kind, name, root, sql string) (table, error) {
	t := table{name: name}
	page, err := strconv.ParseUint(root, 10, 32)
	if kind != "table" || err != nil || page == 0 {
		// A virtual table has no root page either.
		return t, fmt.Errorf("%w: %s is no ordinary table: %.60q", ErrNoCatalog, name, sql)
	}
	t.root = uint32(page)
	if t.columns, err = columns(sql); err != nil {
		return t, in(err, "table %s", name)
	}
	return t, nil
}

// read hands the rows of the table to visit: the values of the columns of these
// names, in their order. One that the table does not have is always empty.
func (t table) read(f *file, names []string, visit func(values []string) error) error {
	var wanted []column
	for _, name := range names {
		wanted = append(wanted, column{name, slices.Index(t.columns, name), MaxText})
	}
	slices.SortFunc(wanted, func(a, b column) int { return a.at - b.at })
	sorted := make([]string, len(names))
	err := f.rows(t.root, func(row *payload) error {
		values, err := row.record(wanted)
		if err != nil {
			return err
		}
		for i, c := range wanted {
			sorted[slices.Index(names, c.name)] = values[i]
		}
		return visit(sorted)
	})
	if err != nil {
		return in(err, "table %s", t.name)
	}
	return nil
}

// columns lists the names of the columns in a statement that makes a table, in
// lower case. The statement is SQLite's own record of the table: it was parsed
// when the table was made.
func columns(sql string) ([]string, error) {
	body, ok := cutTable(sql)
	if !ok {
		return nil, malformed("%.60q makes no table", sql)
	}
	var all []string
	depth, first := 0, true // first says that a definition begins
	for {
		token, rest, quoted := next(body)
		if token == "" {
			return nil, malformed("%.60q has no end", sql)
		}
		body = rest
		word := strings.ToUpper(token)
		switch {
		case quoted:
		case token == "(":
			depth++
			continue
		case token == ")":
			if depth--; depth < 0 {
				return all, checkOptions(body)
			}
			continue
		case token == "," && depth == 0:
			first = true
			continue
		case first && slices.Contains([]string{"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}, word):
			first = false
			continue
		case !first && depth == 0 && word == "AS":
			// It may have no place in the rows.
			return nil, fmt.Errorf("a column that is computed: %w", ErrUnsupported)
		}
		if first {
			if len(all) == MaxColumns {
				return nil, tooMuch("more than %d columns", MaxColumns)
			}
			all, first = append(all, strings.ToLower(token)), false
		}
	}
}

// cutTable cuts CREATE TABLE NAME ( off. SQLite writes the first two words itself.
func cutTable(sql string) (body string, ok bool) {
	for _, want := range []string{"CREATE", "TABLE", "", "("} {
		token, rest, quoted := next(sql)
		if token == "" || want != "" && (quoted || !strings.EqualFold(token, want)) {
			return "", false
		}
		sql = rest
	}
	return sql, true
}

// checkOptions looks at what follows the columns: rows without rowid lie in an
// index.
func checkOptions(rest string) error {
	for {
		token, after, _ := next(rest)
		if token == "" {
			return nil
		}
		if strings.EqualFold(token, "WITHOUT") {
			return fmt.Errorf("it has no rowids: %w", ErrUnsupported)
		}
		rest = after
	}
}

// next returns the next token of SQL and what follows it; the token is empty at
// the end, and for text in quotes that has none.
func next(sql string) (token, rest string, quoted bool) {
	for {
		sql = strings.TrimLeft(sql, " \t\n\f\r")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql[2:], "*/")
		case sql == "":
			return "", "", false
		case strings.IndexByte("\"'`[", sql[0]) >= 0:
			token, rest = quotedText(sql)
			return token, rest, true
		case strings.IndexByte("(),;", sql[0]) >= 0:
			return sql[:1], sql[1:], false
		default:
			end := 1
			for end < len(sql) && strings.IndexByte(" \t\n\f\r(),;\"'`[", sql[end]) < 0 &&
				!strings.HasPrefix(sql[end:], "--") && !strings.HasPrefix(sql[end:], "/*") {
				end++
			}
			return sql[:end], sql[end:], false
		}
	}
}

// quotedText reads a name or text in any of SQLite's quotes; two closing ones
// stand for one.
func quotedText(sql string) (token, rest string) {
	end := sql[:1]
	if end == "[" {
		end = "]"
	}
	var b strings.Builder
	for rest = sql[1:]; ; {
		part, after, ok := strings.Cut(rest, end)
		if !ok {
			return "", ""
		}
		b.WriteString(part)
		if end == "]" || !strings.HasPrefix(after, end) {
			return b.String(), after
		}
		b.WriteString(end)
		rest = after[1:]
	}
}
