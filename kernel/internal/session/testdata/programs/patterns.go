package main

import (
	"bufio"
	"cmp"
	"container/heap"
	"container/list"
	"container/ring"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unicode"
)

// pipelines
func gen(ctx context.Context, ns ...int) <-chan int {
	out := make(chan int)
	go func() {
		defer close(out)
		for _, n := range ns {
			select {
			case out <- n:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func sq(in <-chan int) <-chan int {
	out := make(chan int)
	go func() {
		for n := range in {
			out <- n * n
		}
		close(out)
	}()
	return out
}

func merge(cs ...<-chan int) <-chan int {
	var wg sync.WaitGroup
	out := make(chan int)
	output := func(c <-chan int) {
		for n := range c {
			out <- n
		}
		wg.Done()
	}
	wg.Add(len(cs))
	for _, c := range cs {
		go output(c)
	}
	go func() {
		wg.Wait()
		close(out)
	}()
	return out
}

// worker pool with results by struct
type job struct {
	id int
	f  func(int) (int, error)
}
type result struct {
	id, v int
	err   error
}

func worker(id int, jobs <-chan job, results chan<- result) {
	for j := range jobs {
		v, err := j.f(j.id)
		results <- result{j.id, v, err}
	}
}

// heap
type Item struct {
	name string
	prio int
	idx  int
}
type PQ []*Item

func (p PQ) Len() int           { return len(p) }
func (p PQ) Less(i, j int) bool { return p[i].prio > p[j].prio }
func (p PQ) Swap(i, j int)      { p[i], p[j] = p[j], p[i]; p[i].idx = i; p[j].idx = j }
func (p *PQ) Push(x any)        { it := x.(*Item); it.idx = len(*p); *p = append(*p, it) }
func (p *PQ) Pop() any {
	old := *p
	n := len(old)
	it := old[n-1]
	old[n-1] = nil
	*p = old[:n-1]
	return it
}
func (p *PQ) update(it *Item, n int) { it.prio = n; heap.Fix(p, it.idx) }

// pubsub
type Broker struct {
	mu   sync.RWMutex
	subs map[string][]chan string
}

func (b *Broker) Sub(t string) <-chan string {
	c := make(chan string, 8)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = map[string][]chan string{}
	}
	b.subs[t] = append(b.subs[t], c)
	return c
}
func (b *Broker) Pub(t, m string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, c := range b.subs[t] {
		c <- m
	}
}
func (b *Broker) Close() {
	for _, cs := range b.subs {
		for _, c := range cs {
			close(c)
		}
	}
}

// options
type Server struct {
	host string
	port int
	mw   []func(Handler) Handler
}
type Handler func(string) string
type Option func(*Server)

func WithPort(p int) Option { return func(s *Server) { s.port = p } }
func WithMW(m ...func(Handler) Handler) Option {
	return func(s *Server) { s.mw = append(s.mw, m...) }
}
func New(host string, opts ...Option) *Server {
	s := &Server{host: host, port: 80}
	for _, o := range opts {
		o(s)
	}
	return s
}
func (s *Server) wrap(h Handler) Handler {
	for _, m := range slices.Backward(s.mw) {
		h = m(h)
	}
	return h
}

// state machine by functions
type stateFn func(*lexer) stateFn
type lexer struct {
	in  string
	pos int
	out []string
}

func lexText(l *lexer) stateFn {
	start := l.pos
	for l.pos < len(l.in) && unicode.IsLetter(rune(l.in[l.pos])) {
		l.pos++
	}
	if l.pos > start {
		l.out = append(l.out, "W:"+l.in[start:l.pos])
	}
	if l.pos >= len(l.in) {
		return nil
	}
	if unicode.IsDigit(rune(l.in[l.pos])) {
		return lexNum
	}
	l.pos++
	return lexText
}
func lexNum(l *lexer) stateFn {
	start := l.pos
	for ; l.pos < len(l.in) && unicode.IsDigit(rune(l.in[l.pos])); l.pos++ {
	}
	l.out = append(l.out, "N:"+l.in[start:l.pos])
	return lexText
}

// generics
type Number interface{ ~int | ~int64 | ~float64 }

func Sum[K comparable, V Number](m map[K]V) (s V) {
	for _, v := range m {
		s += v
	}
	return
}
func Map[T, U any](xs []T, f func(T) U) []U {
	out := make([]U, 0, len(xs))
	for _, x := range xs {
		out = append(out, f(x))
	}
	return out
}
func Reduce[T, A any](xs []T, a A, f func(A, T) A) A {
	for _, x := range xs {
		a = f(a, x)
	}
	return a
}

type Tree[T cmp.Ordered] struct {
	l, r *Tree[T]
	v    T
}

func (t *Tree[T]) Insert(v T) *Tree[T] {
	if t == nil {
		return &Tree[T]{v: v}
	}
	switch {
	case v < t.v:
		t.l = t.l.Insert(v)
	case v > t.v:
		t.r = t.r.Insert(v)
	}
	return t
}
func (t *Tree[T]) All() func(yield func(T) bool) {
	return func(yield func(T) bool) { t.push(yield) }
}
func (t *Tree[T]) push(yield func(T) bool) bool {
	return t == nil || t.l.push(yield) && yield(t.v) && t.r.push(yield)
}

type Cache[K comparable, V any] struct {
	cap int
	ll  *list.List
	m   map[K]*list.Element
}
type entry[K comparable, V any] struct {
	k K
	v V
}

func NewCache[K comparable, V any](n int) *Cache[K, V] {
	return &Cache[K, V]{n, list.New(), map[K]*list.Element{}}
}
func (c *Cache[K, V]) Put(k K, v V) {
	if e, ok := c.m[k]; ok {
		e.Value.(*entry[K, V]).v = v
		c.ll.MoveToFront(e)
		return
	}
	c.m[k] = c.ll.PushFront(&entry[K, V]{k, v})
	if c.ll.Len() > c.cap {
		e := c.ll.Back()
		c.ll.Remove(e)
		delete(c.m, e.Value.(*entry[K, V]).k)
	}
}
func (c *Cache[K, V]) Get(k K) (v V, ok bool) {
	if e, ok := c.m[k]; ok {
		c.ll.MoveToFront(e)
		return e.Value.(*entry[K, V]).v, true
	}
	return
}

type errNotFound struct{ name string }

func (e *errNotFound) Error() string { return e.name + " not found" }

var errBase = errors.New("base")

func find(n string) error {
	switch n {
	case "a":
		return nil
	case "b":
		return &errNotFound{n}
	}
	return fmt.Errorf("find %q: %w", n, errors.Join(errBase, &errNotFound{n}))
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	var got []int
	for v := range merge(sq(gen(ctx, 1, 2, 3)), sq(gen(ctx, 4, 5))) {
		got = append(got, v)
	}
	slices.Sort(got)
	fmt.Println(got)
	cancel()

	jobs, results := make(chan job, 10), make(chan result, 10)
	for w := range 3 {
		go worker(w, jobs, results)
	}
	for i := range 6 {
		jobs <- job{i, func(n int) (int, error) {
			if n == 4 {
				return 0, fmt.Errorf("job %d: %w", n, errBase)
			}
			return n * i, nil
		}}
	}
	close(jobs)
	rs := make([]result, 6)
	for range 6 {
		r := <-results
		rs[r.id] = r
	}
	for _, r := range rs {
		fmt.Print(r.id, r.v, r.err, errors.Is(r.err, errBase), "; ")
	}
	fmt.Println()

	pq := PQ{}
	heap.Init(&pq)
	for p, n := range []string{"y", "z", "x"} {
		heap.Push(&pq, &Item{name: n, prio: p})
	}
	pq.update(pq[len(pq)-1], 9)
	for pq.Len() > 0 {
		it := heap.Pop(&pq).(*Item)
		fmt.Print(it.prio, " ")
	}
	fmt.Println()

	b := &Broker{}
	s1, s2 := b.Sub("t"), b.Sub("t")
	b.Pub("t", "hello")
	b.Pub("t", "world")
	b.Close()
	for m := range s1 {
		fmt.Print(m, " ")
	}
	for m := range s2 {
		fmt.Print(m, " ")
	}
	fmt.Println()

	tag := func(t string) func(Handler) Handler {
		return func(h Handler) Handler { return func(s string) string { return t + "(" + h(s) + ")" } }
	}
	s := New("h", WithPort(8), WithMW(tag("a"), tag("b")))
	fmt.Println(s.port, s.wrap(strings.ToUpper)("x"))

	l := &lexer{in: "ab12 c3"}
	for st := stateFn(lexText); st != nil; {
		st = st(l)
	}
	fmt.Println(l.out)

	fmt.Println(Sum(map[string]float64{"a": 1.5, "b": 2}), Map([]int{1, 2}, strconv.Itoa), Reduce([]int{1, 2, 3}, "", func(a string, x int) string { return a + fmt.Sprint(x) }))
	var t *Tree[string]
	for _, w := range strings.Fields("the quick brown fox jumps over the lazy dog") {
		t = t.Insert(w)
	}
	for w := range t.All() {
		if w == "quick" {
			break
		}
		fmt.Print(w, " ")
	}
	fmt.Println()
	c := NewCache[string, int](2)
	c.Put("a", 1)
	c.Put("b", 2)
	c.Get("a")
	c.Put("c", 3)
	_, okb := c.Get("b")
	va, oka := c.Get("a")
	fmt.Println(okb, va, oka)

	for _, n := range []string{"a", "b", "c"} {
		err := find(n)
		var nf *errNotFound
		fmt.Println(err, errors.As(err, &nf), errors.Is(err, errBase))
	}

	var cnt atomic.Int64
	var once sync.Once
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { once.Do(func() { cnt.Add(100) }); cnt.Add(1) })
	}
	wg.Wait()
	val := sync.OnceValue(func() int { cnt.Add(1000); return 7 })
	fmt.Println(cnt.Load(), val(), val(), cnt.Load())

	tick := time.NewTicker(2 * time.Millisecond)
	n := 0
	timeout := time.After(200 * time.Millisecond)
loop:
	for {
		select {
		case <-tick.C:
			if n++; n == 3 {
				tick.Stop()
				break loop
			}
		case <-timeout:
			break loop
		}
	}
	fmt.Println(n)
	cx, cn := context.WithTimeout(context.WithValue(context.Background(), "k", "v"), 5*time.Millisecond)
	defer cn()
	select {
	case <-cx.Done():
		fmt.Println(cx.Err(), cx.Value("k"), errors.Is(cx.Err(), context.DeadlineExceeded))
	case <-time.After(5 * time.Second):
		fmt.Println("late")
	}

	r := ring.New(3)
	for i := range 3 {
		r.Value = i
		r = r.Next()
	}
	r.Do(func(x any) { fmt.Print(x, " ") })
	fmt.Println()
	re := regexp.MustCompile(`(\w)(\w*)`)
	fmt.Println(re.ReplaceAllStringFunc("hello big world", func(m string) string { return strings.ToUpper(m[:1]) + m[1:] }), re.FindAllStringSubmatch("ab c", -1))
	f := big.NewInt(1)
	for i := int64(1); i <= 25; i++ {
		f.Mul(f, big.NewInt(i))
	}
	fmt.Println(f)
	tw := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "a\tb\tc")
	fmt.Fprintln(tw, "aaa\tbbbb\tc")
	tw.Flush()
	sc := bufio.NewScanner(strings.NewReader("one two\nthree"))
	sc.Split(bufio.ScanWords)
	for sc.Scan() {
		fmt.Print(sc.Text(), "|")
	}
	fmt.Println()
	people := []struct {
		Name string
		Age  int
	}{{"A", 30}, {"B", 25}, {"C", 30}}
	sort.SliceStable(people, func(i, j int) bool { return people[i].Age < people[j].Age })
	fmt.Println(people)
	slices.SortFunc(people, func(a, b struct {
		Name string
		Age  int
	}) int {
		return cmp.Or(-cmp.Compare(a.Age, b.Age), strings.Compare(b.Name, a.Name))
	})
	fmt.Println(people)
	byAge := map[int][]string{}
	for _, p := range people {
		byAge[p.Age] = append(byAge[p.Age], p.Name)
	}
	for _, k := range slices.Sorted(maps.Keys(byAge)) {
		fmt.Print(k, byAge[k], " ")
	}
	fmt.Println()
	pr, pw := io.Pipe()
	go func() { fmt.Fprint(pw, "through the pipe"); pw.Close() }()
	data, _ := io.ReadAll(pr)
	fmt.Println(string(data))
	grid := [3][4]int{}
	for i, row := range grid {
		for j := range row {
			grid[i][j] = i * j
		}
	}
	fmt.Println(grid, len(grid), len(grid[0]))
	chans := [...]chan int{make(chan int, 1), make(chan int, 1)}
	for i, c := range chans {
		c <- i
	}
	for _, c := range chans {
		fmt.Print(<-c)
	}
	fmt.Println()
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	ready := false
	go func() { mu.Lock(); ready = true; mu.Unlock(); cond.Broadcast() }()
	mu.Lock()
	for !ready {
		cond.Wait()
	}
	mu.Unlock()
	fmt.Println(ready)
	func() {
		defer func() {
			if r := recover(); r != nil {
				fmt.Println("recovered:", r)
			}
		}()
	}()
	sem := make(chan struct{}, 2)
	var maxN, cur atomic.Int32
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			sem <- struct{}{}
			defer func() { <-sem }()
			if c := cur.Add(1); c > maxN.Load() {
				maxN.Store(c)
			}
			time.Sleep(time.Millisecond)
			cur.Add(-1)
		}()
	}
	wg.Wait()
	fmt.Println(maxN.Load() <= 2)
}
