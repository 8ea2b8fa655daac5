package widgets

import (
	"fmt"
	"reflect"

	"gobayes/kernel/display"
	"gobayes/kernel/internal/rt"
)

// Control is a widget whose value can be an argument of a function.
type Control interface {
	Widget
	// OnChange calls a function after the user has changed the value.
	OnChange(f func())
}

// Interact shows a control for each parameter of f and what f prints and returns; moving a control calls f again. A float64 gets a
// slider from 0 to 1, an int one from 0 to 100, a bool a check box, a string a line of text. Controls replace these, in the order of the
// parameters; nil keeps the one made from the type. The value of a control must fit its parameter: a float slider a float64, an int
// slider an int, a menu (Dropdown, RadioButtons, …) a string. In a cell the parameters' names label the controls that have no description.
//
//	widgets.Interact(func(k float64, method string) any { … },
//		widgets.NewFloatSlider(&widgets.FloatSliderOptions{Max: 4}),
//		widgets.NewDropdown(&widgets.DropdownOptions{Options: []string{"std", "var"}}))
func Interact(f any, controls ...Control) (*VBox, error) {
	var names []string
	if n, ok := f.(rt.Named); ok {
		f, names = n.Value, n.Names
	}
	fn := reflect.ValueOf(f)
	if fn.Kind() != reflect.Func || fn.IsNil() {
		return nil, fmt.Errorf("widgets: interact: want a function, not a %T", f)
	}
	t := fn.Type()
	if t.IsVariadic() || len(controls) > t.NumIn() {
		return nil, fmt.Errorf("widgets: interact: %d controls for a function with %d parameters", len(controls), t.NumIn())
	}
	var box []Widget
	controls = append([]Control{}, controls...)
	for i := range t.NumIn() {
		if i == len(controls) {
			controls = append(controls, nil)
		}
		if controls[i] == nil {
			c, err := controlFor(t.In(i))
			if err != nil {
				return nil, fmt.Errorf("widgets: interact: parameter %d: %w", i+1, err)
			}
			controls[i] = c
		}
		if _, err := argument(controls[i], t.In(i)); err != nil {
			return nil, fmt.Errorf("widgets: interact: parameter %d: %w", i+1, err)
		}
		m := controls[i].model()
		if m.spec.find("description") != nil && m.getString("description") == "" && i < len(names) && names[i] != "_" {
			m.set("description", names[i])
		}
		box = append(box, controls[i])
	}
	out := NewOutput(nil)
	call := func() {
		args := make([]reflect.Value, len(controls))
		for i, c := range controls {
			args[i], _ = argument(c, t.In(i)) // it fitted before
		}
		for _, r := range fn.Call(args) {
			if v := r.Interface(); v != nil {
				display.Show(v)
			}
		}
	}
	for _, c := range controls {
		c.model().on("", out.take, func() { out.Capture(call) })
	}
	out.Capture(call)
	return NewVBox(&VBoxOptions{Children: append(box, out)}), nil
}

// controlFor makes the control of a parameter from its type.
func controlFor(t reflect.Type) (Control, error) {
	switch t.Kind() {
	case reflect.Float64, reflect.Float32:
		return NewFloatSlider(&FloatSliderOptions{Max: 1, Step: 0.01, Value: 0.5}), nil
	case reflect.Int:
		return NewIntSlider(nil), nil
	case reflect.Bool:
		return NewCheckbox(nil), nil
	case reflect.String:
		return NewText(nil), nil
	}
	return nil, fmt.Errorf("no control for a %s; want float64, int, bool or string", t)
}

// argument is a control's value as a parameter of type t.
func argument(c Control, t reflect.Type) (reflect.Value, error) {
	m := c.model()
	v := m.get("value")
	if m.spec.find("_options_labels") != nil {
		v = m.chosen()
	}
	r := reflect.ValueOf(v)
	if !r.IsValid() || r.Kind() != t.Kind() && !(r.Kind() == reflect.Float64 && t.Kind() == reflect.Float32) {
		return r, fmt.Errorf("a %s gives a %T, not a %s", m.spec.name, v, t)
	}
	return r.Convert(t), nil
}
