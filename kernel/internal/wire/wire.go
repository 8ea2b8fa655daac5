// Package wire is the Jupyter message: its parts, its signature, and the connection file. It knows no sockets.
package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// ProtocolVersion is the version of the messaging protocol that headers carry.
const ProtocolVersion = "5.4"

// Connection is the content of a connection file.
type Connection struct {
	Transport       string `json:"transport"`
	IP              string `json:"ip"`
	ShellPort       int    `json:"shell_port"`
	IOPubPort       int    `json:"iopub_port"`
	StdinPort       int    `json:"stdin_port"`
	ControlPort     int    `json:"control_port"`
	HBPort          int    `json:"hb_port"`
	Key             string `json:"key"`
	SignatureScheme string `json:"signature_scheme"`
	KernelName      string `json:"kernel_name,omitempty"`
}

// ReadConnection reads a connection file and checks that this kernel can serve it.
func ReadConnection(path string) (Connection, error) {
	var c Connection
	b, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("wire: connection file: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("wire: connection file %s: %w", path, err)
	}
	if c.Transport == "" {
		c.Transport = "tcp"
	}
	if c.Transport != "tcp" {
		return c, fmt.Errorf("wire: connection file %s: transport %q: only tcp is served", path, c.Transport)
	}
	if c.SignatureScheme != "" && c.SignatureScheme != "hmac-sha256" {
		return c, fmt.Errorf("wire: connection file %s: signature scheme %q: only hmac-sha256 is served", path, c.SignatureScheme)
	}
	return c, nil
}

// Header is the header of a message.
type Header struct {
	MsgID      string `json:"msg_id"`
	Username   string `json:"username"`
	Session    string `json:"session"`
	Date       string `json:"date"`
	MsgType    string `json:"msg_type"`
	Version    string `json:"version"`
	SubshellID string `json:"subshell_id,omitempty"`
}

// Message is a received message. The raw parts are kept as they came: a parent header goes back byte for byte.
type Message struct {
	Identities [][]byte
	Header     Header
	RawHeader  json.RawMessage
	Parent     json.RawMessage
	Metadata   json.RawMessage
	Content    json.RawMessage
	Buffers    [][]byte
}

var (
	delimiter = []byte("<IDS|MSG>")

	// ErrSignature is the error of a message whose signature is wrong.
	ErrSignature = errors.New("wire: wrong signature")
	// ErrMalformed is the error of frames that are no message.
	ErrMalformed = errors.New("wire: malformed message")
)

// Codec signs, checks, encodes and decodes the messages of one session. An empty key means no signing.
type Codec struct {
	Key      []byte
	Session  string
	Username string
}

// NewCodec returns a codec with a new session id.
func NewCodec(key string) *Codec {
	return &Codec{Key: []byte(key), Session: NewID(), Username: "kernel"}
}

// NewID returns a random identifier of 32 hexadecimal digits.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (c *Codec) sign(parts [][]byte) []byte {
	if len(c.Key) == 0 {
		return nil
	}
	m := hmac.New(sha256.New, c.Key)
	for _, p := range parts {
		m.Write(p)
	}
	return []byte(hex.EncodeToString(m.Sum(nil)))
}

// Decode reads a message from its frames. The signature covers the four parts as received and is checked first.
func (c *Codec) Decode(frames [][]byte) (*Message, error) {
	d := -1
	for i, f := range frames {
		if bytes.Equal(f, delimiter) {
			d = i
			break
		}
	}
	if d < 0 || len(frames) < d+6 {
		return nil, ErrMalformed
	}
	parts := frames[d+2 : d+6]
	if want := c.sign(parts); !hmac.Equal(want, frames[d+1]) && len(c.Key) > 0 {
		return nil, ErrSignature
	}
	m := &Message{Identities: frames[:d], RawHeader: parts[0], Parent: parts[1], Metadata: parts[2], Content: parts[3], Buffers: frames[d+6:]}
	if err := json.Unmarshal(parts[0], &m.Header); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if m.Header.MsgType == "" {
		return nil, fmt.Errorf("%w: no msg_type", ErrMalformed)
	}
	return m, nil
}

// NewHeader makes the header of an outgoing message.
func (c *Codec) NewHeader(msgType string) Header {
	return Header{MsgID: NewID(), Username: c.Username, Session: c.Session, Date: time.Now().UTC().Format(time.RFC3339Nano), MsgType: msgType, Version: ProtocolVersion}
}

// Encode spells a message: the identities (for a reply, its receiver; for iopub, a topic), then the signed parts. A nil
// parent is spelled {}.
func (c *Codec) Encode(identities [][]byte, h Header, parent json.RawMessage, metadata, content any) ([][]byte, error) {
	if len(parent) == 0 {
		parent = json.RawMessage("{}")
	}
	if metadata == nil {
		metadata = struct{}{}
	}
	hb, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("wire: %s: header: %w", h.MsgType, err)
	}
	mb, err := json.Marshal(metadata)
	if err != nil {
		return nil, fmt.Errorf("wire: %s: metadata: %w", h.MsgType, err)
	}
	cb, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("wire: %s: content: %w", h.MsgType, err)
	}
	parts := [][]byte{hb, parent, mb, cb}
	frames := append([][]byte{}, identities...)
	frames = append(frames, delimiter, c.sign(parts))
	return append(frames, parts...), nil
}
