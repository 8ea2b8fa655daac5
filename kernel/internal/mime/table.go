package mime

import (
	"fmt"
	"reflect"
	"sort"

	"gobayes/kernel/internal/rt"

	pretty "github.com/jedib0t/go-pretty/v6/table"
	prettytext "github.com/jedib0t/go-pretty/v6/text"
)

// maxRows is how many rows of a table are shown; a table has at most maxColumns columns.
const (
	maxRows    = 60
	maxColumns = 30
)

// table is the bundle of a slice of structs with exported fields, of a map, or of a slice of slices; nil for anything else.
func table(v any) map[string]any {
	rv := reflect.ValueOf(v)
	switch {
	case rv.Kind() == reflect.Map && rv.Len() > 0:
		return mapTable(rv)
	case rv.Kind() != reflect.Slice || rv.Len() == 0:
		return nil
	case rv.Type().Elem().Kind() == reflect.Struct:
		t, _ := rt.Split(v)
		return structTable(rv, t != nil)
	case rv.Type().Elem().Kind() == reflect.Slice:
		return rowTable(rv)
	}
	return nil
}

// structTable shows structs of which all fields are exported, and those of a cell, whose author wants to see them all.
func structTable(rv reflect.Value, ofCell bool) map[string]any {
	if _, ok := rv.Index(0).Interface().(fmt.Stringer); ok {
		return nil
	}
	et := rv.Type().Elem()
	if et.NumField() == 0 || et.NumField() > maxColumns {
		return nil
	}
	for i := range et.NumField() {
		if !ofCell && !et.Field(i).IsExported() {
			return nil
		}
	}
	var head pretty.Row
	for i := range et.NumField() {
		head = append(head, et.Field(i).Name)
	}
	return render(head, rv.Len(), func(r int) (row pretty.Row) {
		for i := range et.NumField() {
			f := rv.Index(r).Field(i)
			row = append(row, entry(reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Interface()))
		}
		return row
	})
}

// mapTable has a row for each key, sorted by number or text.
func mapTable(rv reflect.Value) map[string]any {
	keys := rv.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return rt.Less(keys[i], keys[j]) })
	return render(pretty.Row{"key", "value"}, len(keys), func(r int) pretty.Row {
		return pretty.Row{entry(keys[r].Interface()), entry(rv.MapIndex(keys[r]).Interface())}
	})
}

// rowTable shows a slice of slices of numbers, texts or truths, with the indices above and beside it.
func rowTable(rv reflect.Value) map[string]any {
	switch rv.Type().Elem().Elem().Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map, reflect.Pointer, reflect.Func, reflect.Chan, reflect.Interface, reflect.Array:
		return nil
	}
	columns := 0
	for r := range rv.Len() {
		columns = max(columns, rv.Index(r).Len())
	}
	if columns == 0 || columns > maxColumns {
		return nil
	}
	head := pretty.Row{""}
	for c := range columns {
		head = append(head, c)
	}
	return render(head, rv.Len(), func(r int) pretty.Row {
		row := pretty.Row{r}
		for c := range rv.Index(r).Len() {
			row = append(row, entry(rv.Index(r).Index(c).Interface()))
		}
		return row
	})
}

// entry is a value in a table.
func entry(x any) string {
	if f, ok := x.(float64); ok {
		return fmt.Sprintf("%.6g", f)
	}
	return fmt.Sprintf("%+v", x)
}

// render lays n rows out as text, HTML, Markdown and CSV. Of many rows the first are shown, and how many there are.
func render(head pretty.Row, n int, row func(r int) pretty.Row) map[string]any {
	t := pretty.NewWriter()
	t.SetStyle(pretty.StyleLight)
	t.Style().Format.Header = prettytext.FormatDefault // names as they are
	t.Style().Options.DrawBorder = false
	t.AppendHeader(head)
	for r := range min(n, maxRows) {
		t.AppendRow(row(r))
	}
	text, html, markdown := t.Render(), t.RenderHTML(), t.RenderMarkdown()
	if n > maxRows {
		count := fmt.Sprintf("%d of %d rows", maxRows, n)
		text += "\n" + count
		html += "<p>" + count + "</p>"
		markdown += "\n\n" + count
	}
	return map[string]any{Text: text, HTML: html, Markdown: markdown, CSV: t.RenderCSV() + "\n"}
}
