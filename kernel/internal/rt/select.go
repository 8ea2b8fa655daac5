package rt

import "reflect"

// Select is a select statement; the interpreter's own keeps the channels of a statement in one place for all goroutines that run it.
// Of each case there are four arguments: whether it sends, the channel, a pointer to what is sent or to where what is received goes (nil
// for nowhere), and a pointer to where it goes whether something was received, or nil. It returns the number of the case that was
// taken; without waiting, -1 if none could be. An interrupt of the cell ends the wait.
func Select(wait bool, cases ...any) int {
	var cs []reflect.SelectCase
	for i := 0; i < len(cases); i += 4 {
		c := reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(cases[i+1])}
		if cases[i].(bool) {
			c.Dir, c.Send = reflect.SelectSend, reflect.ValueOf(cases[i+2]).Elem()
		}
		cs = append(cs, c)
	}
	n := len(cs)
	if wait {
		_, cell, _ := HostOf()
		cs = append(cs, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(abandonment(cell))})
	} else {
		cs = append(cs, reflect.SelectCase{Dir: reflect.SelectDefault})
	}
	chosen, v, ok := reflect.Select(cs)
	if chosen == n {
		if wait {
			panic(Interrupted{})
		}
		return -1
	}
	if to := cases[4*chosen+2]; to != nil && cs[chosen].Dir == reflect.SelectRecv {
		reflect.ValueOf(to).Elem().Set(v)
	}
	if to, _ := cases[4*chosen+3].(*bool); to != nil {
		*to = ok
	}
	return chosen
}
