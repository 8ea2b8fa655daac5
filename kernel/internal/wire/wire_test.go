package wire

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	a, b := NewCodec("key"), NewCodec("key")
	parent := json.RawMessage(`{"msg_id": "p",  "odd spacing":1}`)
	f, err := a.Encode([][]byte{[]byte("id")}, a.NewHeader("execute_request"), parent, nil, map[string]any{"code": "λ"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.Decode(append(f, []byte("buffer")))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.MsgType != "execute_request" || string(m.Parent) != string(parent) || string(m.Content) != `{"code":"λ"}` || string(m.Metadata) != "{}" || len(m.Buffers) != 1 || len(m.Identities) != 1 {
		t.Errorf("%+v", m)
	}
	for i := 2; i < 6; i++ { // any change of a signed part is noticed
		bad := append([][]byte{}, f...)
		bad[i+1] = append([]byte(" "), bad[i+1]...)
		if _, err := b.Decode(bad); !errors.Is(err, ErrSignature) {
			t.Errorf("part %d changed: error %v", i, err)
		}
	}
	if _, err := NewCodec("other").Decode(f); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: error %v", err)
	}
	if _, err := NewCodec("").Decode(f); err != nil {
		t.Errorf("no key means no signing: error %v", err)
	}
}

func TestMalformed(t *testing.T) {
	c := NewCodec("key")
	sign := func(parts ...string) [][]byte {
		var ps [][]byte
		for _, p := range parts {
			ps = append(ps, []byte(p))
		}
		return append([][]byte{delimiter, c.sign(ps)}, ps...)
	}
	for _, f := range [][][]byte{nil, {nil}, {delimiter}, {delimiter, nil, nil}, sign("not json", "{}", "{}", "{}"), sign(`{"msg_type": 7}`, "{}", "{}", "{}"), sign("{}", "{}", "{}", "{}")} {
		if _, err := c.Decode(f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: error %v", f, err)
		}
	}
}

func TestReadConnection(t *testing.T) {
	p := filepath.Join(t.TempDir(), "c.json")
	for text, ok := range map[string]bool{
		`{"transport":"tcp","ip":"127.0.0.1","key":"k","signature_scheme":"hmac-sha256"}`: true,
		`{"transport":"ipc"}`:             false,
		`{"signature_scheme":"hmac-md5"}`: false,
		`{`:                               false,
	} {
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConnection(p); (err == nil) != ok {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("<IDS|MSG>"), []byte("sig"), []byte(`{"msg_type":"x"}`), []byte("{}"))
	f.Fuzz(func(t *testing.T, a, b, c, d []byte) {
		if m, err := NewCodec("").Decode([][]byte{a, b, c, d, d, d}); err == nil && m.Header.MsgType == "" {
			t.Error("a message without a type")
		}
		if _, err := NewCodec("key").Decode([][]byte{a, b, c, d, d, d}); err == nil {
			t.Error("a signature was guessed")
		}
	})
}
