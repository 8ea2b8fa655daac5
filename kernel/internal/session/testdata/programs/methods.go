package main

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"sort"
	"strings"
	"text/template"
)

// Compiled code sees the names, fields and methods of these types, wherever a value of them is.

type S string

func (s S) String() string { return "<" + string(s) + ">" }

type W struct {
	A S
	B *P
	c int
}
type P struct{ x int }

func (p *P) String() string {
	if p == nil {
		return "no P"
	}
	return fmt.Sprint("P", p.x)
}

type Animal int

func (a *Animal) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*a = Animal(len(s))
	return nil
}
func (a Animal) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Repeat("a", int(a))) }
func (a Animal) MarshalText() ([]byte, error) { return []byte(strings.Repeat("t", int(a))), nil }

type E struct{ code int }

func (e E) Error() string        { return fmt.Sprint("E", e.code) }
func (e E) Is(target error) bool { return e.code == 4 && target == fs.ErrNotExist }
func (e E) As(target any) bool {
	if p, ok := target.(**fs.PathError); ok {
		*p = &fs.PathError{Op: "as", Path: "/", Err: e}
		return true
	}
	return false
}

type coder interface{ Code() int }

func (e E) Code() int { return e.code }

type byLen []string

func (b byLen) Len() int           { return len(b) }
func (b byLen) Less(i, j int) bool { return len(b[i]) < len(b[j]) }
func (b byLen) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }

type Inventory struct{ Items []Item }
type Item struct{ Name string }

func (i Item) Upper() string          { return strings.ToUpper(i.Name) }
func (i *Item) Rename(s string) *Item { i.Name = s; return i }
func (i Item) Times(n int, sep ...string) string {
	return strings.Repeat(i.Name+strings.Join(sep, ""), n)
}

type Temp float64

func (t Temp) Format(f fmt.State, c rune) { fmt.Fprintf(f, "%.1f°", float64(t)) }

type Address struct{ City, State string }
type Person struct {
	XMLName xml.Name `xml:"person"`
	ID      int      `xml:"id,attr"`
	Name    string   `xml:"name>first"`
	Address
	note string
}

type Shape interface{ Area() float64 }
type Square struct{ Side float64 }
type Circle struct{ R float64 }

func (s Square) Area() float64  { return s.Side * s.Side }
func (c *Circle) Area() float64 { return 3 * c.R * c.R }

type Secret string

func (Secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

type Node struct {
	Next  *Node
	Edges []*Edge
	Label S
}
type Edge struct{ From, To *Node }
type Fn func(S) Fn
type List []List
type key struct{ id int }
type Pair[K comparable, V any] struct {
	Key K
	Val V
}

func (p Pair[K, V]) String() string { return fmt.Sprintf("%v=%v", p.Key, p.Val) }

func main() {
	fmt.Println(S("a"), []S{"b"}, map[S]int{"c": 1}, W{"d", &P{1}, 2}, &W{"d", nil, 3}, [2]S{"e"}, []any{S("f"), Temp(3)})
	fmt.Printf("%v %+v %#v %T %T %T\n", []*P{nil}, W{A: "q"}, Item{"i"}, W{}, S(""), []map[S]*W{})
	format := "%T|%v|%d|%x|%q\n"
	fmt.Printf(format, Animal(3), Animal(3), Animal(3), S("x"), S("y"))
	fmt.Println(Temp(4), []Temp{1, 2}, struct {
		T Temp
		u Temp
	}{5, 6})

	var as []Animal
	fmt.Println(json.Unmarshal([]byte(`["cat","horse"]`), &as), len(as), int(as[0]), int(as[1]))
	b, err := json.Marshal(map[string]any{"k": as, "z": struct{ Q Animal }{3}, "m": map[Animal]int{2: 1}, "w": W{A: "s", c: 3}})
	fmt.Println(string(b), err)
	fmt.Println(json.Unmarshal([]byte(`"x"`), new(int)))

	err = fmt.Errorf("wrap: %w", E{3})
	var e E
	var pe *fs.PathError
	var c coder
	fmt.Println(errors.As(err, &e), e.code, errors.As(err, &pe), pe, errors.As(err, &c), c.Code())
	fmt.Println(errors.Is(fmt.Errorf("x %w", E{4}), fs.ErrNotExist), errors.Is(err, E{3}), errors.Is(err, E{5}))

	l := byLen{"ccc", "a", "bb"}
	sort.Sort(sort.Reverse(l))
	fmt.Println(l)
	t := template.Must(template.New("").Parse("{{range .Items}}{{.Upper}} {{.Times 2 \"-\"}} {{end}}\n"))
	fmt.Println(t.Execute(os.Stdout, Inventory{[]Item{{"x"}, {"y"}}}))
	fmt.Println(template.Must(template.New("").Parse("{{.m.Upper}} {{(.p.Rename \"r\").Upper}}\n")).Execute(os.Stdout, map[string]any{"m": Item{"m"}, "p": &Item{"p"}}))

	x, err := xml.Marshal(Person{ID: 3, Name: "Jo", Address: Address{"Ulm", "BW"}, note: "n"})
	fmt.Println(string(x), err)
	var p Person
	fmt.Println(xml.Unmarshal(x, &p), p)

	gob.Register(Square{})
	gob.Register(&Circle{})
	var buf bytes.Buffer
	var shape Shape = &Circle{2}
	fmt.Println(gob.NewEncoder(&buf).Encode(&Square{3}))
	var sq Square
	fmt.Println(gob.NewDecoder(&buf).Decode(&sq), sq, shape.Area())

	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.Info("in", "token", Secret("shh"), "s", S("s"))

	r := reflect.TypeOf(W{})
	f, _ := r.FieldByName("c")
	fmt.Println(r, r.Name(), r.PkgPath(), r.Field(0).Type, f.PkgPath, f.IsExported(), reflect.TypeOf(&Item{}).NumMethod(), reflect.TypeOf(Item{}).NumMethod())
	m := reflect.ValueOf(&Item{"n"}).MethodByName("Times")
	fmt.Println(m.Call([]reflect.Value{reflect.ValueOf(2), reflect.ValueOf("+")})[0], m.Type())
	fn := reflect.TypeOf(Item{}).Method(0)
	fmt.Println(fn.Name, fn.Type, fn.Func.Call([]reflect.Value{reflect.ValueOf(Item{"z"}), reflect.ValueOf(1)})[0])
	v := reflect.New(reflect.TypeOf(Item{}))
	v.Elem().Field(0).SetString("made")
	item, ok := v.Interface().(*Item)
	fmt.Println(item.Upper(), ok, v.Interface().(interface{ Upper() string }).Upper())
	many := reflect.Append(reflect.ValueOf([]Item{{"1"}}), reflect.ValueOf(Item{"2"})).Interface().([]Item)
	fmt.Println(many, len(many))

	a, d := &Node{Label: "a"}, &Node{Label: "b"}
	a.Edges = []*Edge{{a, d}}
	a.Next = d
	fmt.Printf("%v %T %T\n", d, a.Edges, *a.Edges[0])
	fmt.Printf("%T %T %v %T\n", Fn(nil), List{}, List{{}, {{}}}, func(S, ...Item) (W, error) { return W{}, nil })
	fmt.Println(Pair[string, int]{"k", 1}, []Pair[S, *P]{{"s", &P{2}}})
	fmt.Printf("%T %T\n", Pair[string, int]{}, struct {
		A int
		b S `tag:"x"`
	}{})
	var any1, any2 any = key{1}, key{1}
	fmt.Println(any1 == any2, map[any]int{key{1}: 5}[any1], any1 == any(key{2}))
	defer func() { fmt.Println(recover()) }()
	var bad any = struct{ f []S }{}
	fmt.Println(bad == bad)
}
