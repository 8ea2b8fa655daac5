package rt

// Comm is one end of a conversation with the front end about one object.
type Comm struct {
	ID       string // set by Open
	Target   string // what the object is to the front end
	Metadata map[string]any
	// Receive takes what the front end says. It runs beside the cells and must not wait for them.
	Receive func(data map[string]any, buffers [][]byte)
	// State is all that the front end must know of the object.
	State func() (state map[string]any, buffers Buffers)
}

// Buffer is a part of a state that travels as bytes, and its place in the state.
type Buffer struct {
	Path []any
	Data []byte
}

// Buffers are the bytes of one message.
type Buffers []Buffer

// Paths lists the places, never nil.
func (bs Buffers) Paths() [][]any {
	ps := [][]any{}
	for _, b := range bs {
		ps = append(ps, b.Path)
	}
	return ps
}

// Sink takes the outputs of code instead of a cell: the types and contents of the messages that would be sent.
type Sink func(msgType string, content map[string]any)

// Comms is the side of a Host that talks about objects.
type Comms interface {
	// Open tells the front end of an object, as an output of a cell, and gives it an ID.
	Open(cell int, c *Comm)
	// Send says something about it.
	Send(c *Comm, data map[string]any, buffers Buffers)
	// Close ends the conversation.
	Close(c *Comm)
	// Later runs f when no cell runs, before the cells that wait. Its outputs go to sink, or with nil to the given cell.
	Later(cell int, sink Sink, f func())
	// Capture runs f now; what it prints and shows goes to sink.
	Capture(sink Sink, f func())
}

// Named is a function with the names of its parameters, which reflection does not know. Lowered code hands it to widgets.Interact.
type Named struct {
	Names []string
	Value any
}

// WithNames is called by lowered code only.
func WithNames(f any, names ...string) any { return Named{names, f} }
