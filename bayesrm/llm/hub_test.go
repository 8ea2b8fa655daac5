package llm

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeHub serves the files of a folder as the repository org/name, to those who know the token.
func fakeHub(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	const commit = "0123456789abcdef0123456789abcdef01234567"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/models/org/name"):
			var files []map[string]any
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				files = append(files, map[string]any{"rfilename": e.Name()})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"id": "org/name", "sha": commit, "siblings": files})
		case strings.Contains(r.URL.Path, "/resolve/"):
			b, err := os.ReadFile(filepath.Join(dir, filepath.Base(r.URL.Path)))
			if err != nil {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(b)))
			w.Header().Set("X-Repo-Commit", commit)
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestHub: a model comes from the hub once; then the cache is enough, also without a server.
func TestHub(t *testing.T) {
	repo := t.TempDir()
	if err := tiny(t).Save(repo); err != nil {
		t.Fatal(err)
	}
	server := fakeHub(t, repo)
	cache := t.TempDir()
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HUB_CACHE", cache)
	t.Setenv("HF_TOKEN", "wrong")
	t.Setenv("HF_HUB_OFFLINE", "")
	if _, err := Load(t.Context(), "hf:org/name"); err == nil || !strings.Contains(err.Error(), "HF_TOKEN") {
		t.Errorf("a wrong token: %v", err)
	}
	t.Setenv("HF_TOKEN", "secret")
	m, err := Load(t.Context(), "hf:org/name")
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	t.Setenv("HF_HUB_OFFLINE", "1")
	again, err := Load(t.Context(), "hf:org/name")
	if err != nil || again.NumParams() != m.NumParams() {
		t.Fatalf("from the cache alone: %v, %v", again, err)
	}
	if b, err := os.ReadFile(filepath.Join(cache, "models--org--name", "refs", "main")); err != nil || !strings.HasPrefix(string(b), "0123") {
		t.Errorf("refs/main holds %q, %v", b, err)
	}
	if _, err := Load(t.Context(), "hf:org/other"); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Errorf("not in the cache, offline: %v", err)
	}
	if _, err := Load(t.Context(), "hf:name"); err == nil || !strings.Contains(err.Error(), "hf:ORG/NAME") {
		t.Errorf("half a name: %v", err)
	}
}
