package llm

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gomlx/go-huggingface/hub"

	"gobayes/bayesrm/progress"
	"gobayes/bayesrm/safetensors"
)

// hubCache is the folder that Hugging Face's tools share.
func hubCache() (string, error) {
	if c := os.Getenv("HF_HUB_CACHE"); c != "" {
		return c, nil
	}
	home, err := hubHome()
	return filepath.Join(home, "hub"), err
}

func hubHome() (string, error) {
	if home := os.Getenv("HF_HOME"); home != "" {
		return home, nil
	}
	dir, err := os.UserHomeDir()
	return filepath.Join(dir, ".cache", "huggingface"), err
}

// hubToken is the user's access token, if there is one.
func hubToken() string {
	for _, v := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := os.Getenv(v); t != "" {
			return t
		}
	}
	home, err := hubHome()
	if err != nil {
		return ""
	}
	name := os.Getenv("HF_TOKEN_PATH")
	if name == "" {
		name = filepath.Join(home, "token")
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// hubPath finds ORG/NAME, or one file ORG/NAME/FILE.gguf, in the cache; what is not there is downloaded, unless
// HF_HUB_OFFLINE forbids it.
func hubPath(ctx context.Context, name string) (string, error) {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return "", fmt.Errorf("llm: hf:%s: want hf:ORG/NAME or hf:ORG/NAME/FILE.gguf", name)
	}
	id := parts[0] + "/" + parts[1]
	cache, err := hubCache()
	if err != nil {
		return "", fmt.Errorf("llm: hf:%s: %w", name, err)
	}
	folder := filepath.Join(cache, "models--"+parts[0]+"--"+parts[1])
	file := "config.json"
	if len(parts) == 3 {
		file = parts[2]
	}
	if p := cached(folder, file); p != "" {
		return foundIn(p, len(parts) == 3), nil
	}
	if v := os.Getenv("HF_HUB_OFFLINE"); v != "" && v != "0" && !strings.EqualFold(v, "false") {
		return "", fmt.Errorf("llm: hf:%s: %s is not in the cache %s and HF_HUB_OFFLINE is set", name, file, cache)
	}
	p, err := download(ctx, id, cache, folder, parts[2:])
	if err != nil {
		return "", fmt.Errorf("llm: hf:%s: %w", name, err)
	}
	return foundIn(p, len(parts) == 3), nil
}

func foundIn(p string, file bool) string {
	if file {
		return p
	}
	return filepath.Dir(p)
}

// cached finds a file in the snapshot that refs/main names, or else in any that is complete.
func cached(folder, file string) string {
	var commits []string
	if b, err := os.ReadFile(filepath.Join(folder, "refs", "main")); err == nil {
		commits = append(commits, filepath.Join(folder, "snapshots", strings.TrimSpace(string(b))))
	}
	all, _ := filepath.Glob(filepath.Join(folder, "snapshots", "*"))
	for _, s := range append(commits, all...) {
		p := filepath.Join(s, filepath.FromSlash(file))
		if !exists(p) {
			continue
		}
		if weights, _ := weightFiles(s); file == "config.json" && len(weights) == 0 {
			continue // only part of it was ever downloaded
		}
		return p
	}
	return ""
}

// download fetches the given files, or what a model needs, and returns the path of the first.
func download(ctx context.Context, id, cache, folder string, only []string) (string, error) {
	repo := hub.New(id).WithAuth(hubToken()).WithCacheDir(cache).WithProgressBar(false)
	repo.Verbosity = 0
	if e := os.Getenv("HF_ENDPOINT"); e != "" {
		repo = repo.WithEndpoint(e)
	}
	if err := repo.DownloadInfo(false); err != nil {
		return "", fmt.Errorf("%w; check the name, the network and, for a gated model, HF_TOKEN", err)
	}
	files := only
	if len(files) == 0 {
		var torch []string
		safe := false
		for f, err := range repo.IterFileNames() {
			if err != nil {
				return "", err
			}
			weights, _ := path.Match(safeFiles, f)
			pickled, _ := path.Match(torchFiles, f)
			safe = safe || weights
			switch {
			case f == "config.json":
				files = append([]string{f}, files...)
			case pickled:
				torch = append(torch, f)
			case weights, f == "model.safetensors.index.json", f == "tokenizer.json", f == "tokenizer_config.json", f == "chat_template.jinja", f == sumName:
				files = append(files, f)
			}
		}
		if !safe {
			files = append(files, torch...)
		}
		if len(files) == 0 || files[0] != "config.json" {
			return "", fmt.Errorf("the repository has no config.json; name a file: hf:%s/FILE.gguf", id)
		}
	}
	first := ""
	for i, f := range files {
		progress.Report(ctx, progress.Event{Task: "download " + id, Done: i, Total: len(files), Note: f})
		p, err := repo.DownloadFileCtx(ctx, f)
		if err != nil {
			return "", err
		}
		if i == 0 {
			first = p
		}
	}
	progress.Report(ctx, progress.Event{Task: "download " + id, Done: len(files), Total: len(files)})
	if info := repo.Info(); info != nil && info.CommitHash != "" { // Python's offline lookup wants this
		refs := filepath.Join(folder, "refs")
		if err := os.MkdirAll(refs, 0o755); err != nil {
			return "", err
		}
		if err := safetensors.WriteFile(filepath.Join(refs, "main"), []byte(info.CommitHash)); err != nil {
			return "", err
		}
	}
	return first, nil
}
