"""The peers' side of the benchmark: one measurement a process.

    python peers.py NAME THREADS TMP SHARED   ->   {"Rate": units a second, "RSS": MiB, "Detail": versions} or {"Error": …}
"""
import json, os, resource, sys, time


def timed(units, f):
    f()
    best, start, n = 0.0, time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < 1 or n < 3 and elapsed < 15:
        t = time.perf_counter()
        f()
        best = max(best, units / (time.perf_counter() - t))
        n += 1
    return best


def gemm(m, n, k, kind):
    import numpy as np
    from threadpoolctl import threadpool_info
    r = np.random.default_rng(1)
    x, w, y = (r.standard_normal(s, dtype=np.float32) for s in ((m, k), (n, k), (m, n)))
    wt = np.ascontiguousarray(w.reshape(k, n))  # dX: w is [in, out] of this product
    out, grad = np.empty((m, n), np.float32), np.empty((n, k), np.float32)
    f = {"forward": lambda: np.matmul(x, w.T, out=out), "skinny": lambda: np.matmul(x, w.T, out=out),
         "dx": lambda: np.matmul(x, wt, out=out), "dw": lambda: np.matmul(y.T, x, out=grad)}[kind]
    info = [i for i in threadpool_info() if i["user_api"] == "blas"]
    return timed(2e-9 * m * n * k, f), "%s %s %s" % (info[0]["internal_api"], info[0]["version"], info[0]["architecture"])


def lapack(what, n):
    import numpy as np
    r = np.random.default_rng(1)
    a = r.standard_normal((n, n)) / n ** 0.5
    s = a @ a.T + 1e-3 * np.eye(n)
    f = {"product": lambda: a @ a, "cholesky": lambda: np.linalg.cholesky(s), "eigen": lambda: np.linalg.eigh(s)}[what]
    return timed(1, f), "numpy " + np.__version__


def pythia(lora):
    import torch, transformers
    torch.set_num_threads(THREADS)
    c = transformers.GPTNeoXConfig(vocab_size=50304, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048, rotary_pct=0.25,
                                   max_position_embeddings=2048, num_labels=1, pad_token_id=0)
    m = transformers.GPTNeoXForSequenceClassification(c)
    detail = "torch %s, transformers %s" % (torch.__version__, transformers.__version__)
    if not lora:
        return torch, m.eval(), None, detail
    import peft
    m = peft.get_peft_model(m, peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query_key_value"], task_type="SEQ_CLS"))
    m.train()
    opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-5)
    return torch, m, opt, detail + ", peft " + peft.__version__


def forward():
    torch, m, _, detail = pythia(False)
    ids = torch.randint(10, 50000, (8, 512))
    mask = torch.ones_like(ids)

    def f():
        with torch.no_grad():
            m(input_ids=ids, attention_mask=mask)
    return timed(ids.numel(), f), detail


def step(torch, m, opt, ids, mask):
    r = m(input_ids=ids, attention_mask=mask).logits[:, 0]
    loss = -torch.nn.functional.logsigmoid(r[0::2] - r[1::2]).mean()
    loss.backward()
    opt.step()
    opt.zero_grad()


def lora():
    torch, m, opt, detail = pythia(True)
    ids = torch.randint(10, 50000, (8, 512))
    mask = torch.ones_like(ids)
    return timed(ids.numel(), lambda: step(torch, m, opt, ids, mask)), detail


def lora_hh():
    torch, m, opt, detail = pythia(True)
    seqs = json.load(open(os.path.join(TMP, "hh.json")))
    batches, tokens = [], 0
    for i in range(0, len(seqs), 16):  # TRL pads a batch to its longest sequence
        part = seqs[i:i + 16]
        T = max(map(len, part))
        tokens += sum(map(len, part))
        batches.append((torch.tensor([s + [0] * (T - len(s)) for s in part]), torch.tensor([[1] * len(s) + [0] * (T - len(s)) for s in part])))

    def f():
        for ids, mask in batches:
            step(torch, m, opt, ids, mask)
    return timed(tokens, f), detail


def laplace(what):
    """The exact posterior of all LoRA weights in dual form, with hooks: one backward pass gives each text its own gradient."""
    torch, m, _, detail = pythia(True)
    m.eval()
    torch.nn.init.normal_(m.base_model.model.score.modules_to_save["default"].weight)
    x, g, layers = {}, {}, [(n, k) for n, k in m.named_modules() if n.endswith(("lora_A.default", "lora_B.default"))]
    for n, k in layers:
        k.register_forward_hook(lambda k, i, o, n=n: x.__setitem__(n, i[0].detach()))
        k.register_full_backward_hook(lambda k, i, o, n=n: g.__setitem__(n, o[0]))
    for p in m.parameters():
        p.requires_grad_("lora_" in str([n for n, q in m.named_parameters() if q is p]))

    def jacobians(seqs):
        T = max(map(len, seqs))
        ids, mask = torch.tensor([s + [0] * (T - len(s)) for s in seqs]), torch.tensor([[1] * len(s) + [0] * (T - len(s)) for s in seqs])
        r = m(input_ids=ids, attention_mask=mask).logits[:, 0]
        r.sum().backward()
        return r.detach(), torch.cat([torch.einsum("bto,bti->boi", g[n], x[n]).flatten(1) for n, _ in layers], 1)

    seqs = json.load(open(os.path.join(TMP, "laplace.json")))
    N = len(seqs) // 2

    def fit():
        D, d = [], []
        for i in range(0, len(seqs), 16):
            r, J = jacobians(seqs[i:i + 16])
            D.append(J[0::2] - J[1::2])
            d.append(r[0::2] - r[1::2])
        D, d = torch.cat(D), torch.cat(d).double()
        w = torch.sqrt(torch.sigmoid(d) * torch.sigmoid(-d))
        K = (w[:, None] * (D @ D.T).double() * w) + torch.eye(N, dtype=torch.float64)
        L = torch.linalg.cholesky(K)
        return torch.linalg.solve_triangular(L, w[:, None] * D.double(), upper=False).float()

    if what == "fit":
        return timed(N, fit), detail
    proj = fit()

    def variances():
        for i in range(0, len(seqs), 16):
            _, J = jacobians(seqs[i:i + 16])
            (J * J).sum(1) - ((J @ proj.T) ** 2).sum(1)
    return timed(len(seqs), variances), detail


def laplace_torch(what):
    """Kronecker factors of the LoRA weights by laplace-torch, whose likelihood of rewards is a classification while it fits."""
    import laplace
    torch, m, _, detail = pythia(True)
    m.eval()
    torch.nn.init.normal_(m.base_model.model.score.modules_to_save["default"].weight)
    for n, p in m.named_parameters():
        p.requires_grad_("lora_" in n)

    class Rewards(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, x):
            ids = x["input_ids"]
            two = ids.dim() == 3
            r = self.m(input_ids=ids.flatten(0, -2), attention_mask=x["attention_mask"].flatten(0, -2)).logits
            return r.reshape(-1, 2) if two else r

    def pad(seqs):
        T = max(map(len, seqs))
        return torch.tensor([s + [0] * (T - len(s)) for s in seqs]), torch.tensor([[1] * len(s) + [0] * (T - len(s)) for s in seqs])

    seqs = json.load(open(os.path.join(TMP, "laplace.json")))
    N = len(seqs) // 2

    def batches(size):
        out = []
        for i in range(0, len(seqs), 2 * size):
            ids, mask = pad(seqs[i:i + 2 * size])
            n = len(ids) // 2
            out.append({"input_ids": ids.reshape(n, 2, -1), "attention_mask": mask.reshape(n, 2, -1), "labels": torch.zeros(n, dtype=torch.long)})
        return out

    class Loader(list):
        dataset = range(N)

    def fit(size):
        la = laplace.Laplace(Rewards(), "reward_modeling", subset_of_weights="all", hessian_structure="kron")
        la.fit(Loader(batches(size)))
        return la

    def best(units, run):
        rates = {}
        for size in (2, 4, 8):
            run(size)
            t = time.perf_counter()
            run(size)
            rates[size] = units / (time.perf_counter() - t)
        size = max(rates, key=rates.get)
        return rates[size], detail + ", laplace-torch, batches of %d" % size
    if what == "fit":
        return best(N, fit)
    la = fit(8)

    def variances(size):
        for i in range(0, len(seqs), size):
            ids, mask = pad(seqs[i:i + size])
            la({"input_ids": ids, "attention_mask": mask}, pred_type="glm")
    return best(len(seqs), variances)


def bestofn():
    import numpy as np
    from scipy.special import gammaln
    N, r = 12500, np.random.default_rng(1)
    s, v = np.round(r.standard_normal((1000, N)), 3), r.standard_normal((1000, N))
    i = np.arange(1, N + 1)
    w = np.stack([np.where(i >= n, np.exp(gammaln(i) - gammaln(n) - gammaln(np.maximum(i - n + 1, 1)) - gammaln(N + 1) + gammaln(n + 1) + gammaln(N - n + 1)), 0)
                  for n in (N ** (np.arange(30) / 29)).astype(int)])

    def f():  # answers of equal score share their mean
        o = np.argsort(s, axis=1)
        ss, vv = np.take_along_axis(s, o, 1), np.take_along_axis(v, o, 1)
        start = np.ones(ss.shape, bool)
        start[:, 1:] = ss[:, 1:] != ss[:, :-1]
        group = np.cumsum(start.ravel()) - 1
        return (np.bincount(group, vv.ravel()) / np.bincount(group))[group].reshape(vv.shape) @ w.T
    return timed(1000, f), "numpy " + np.__version__


def score():
    torch, m, _, detail = pythia(False)
    prompt = torch.randint(10, 50000, (1, 200)).expand(64, 200)
    ids = torch.cat([prompt, torch.randint(10, 50000, (64, 64))], 1)
    mask = torch.ones_like(ids)

    def f():
        with torch.no_grad():
            m(input_ids=ids, attention_mask=mask)
    return timed(64, f), detail


def members():
    import peft
    torch, m, _, detail = pythia(True)
    m.eval()
    names = ["default"] + ["m%d" % k for k in range(1, 5)]
    for n in names[1:]:
        m.add_adapter(n, peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query_key_value"], task_type="SEQ_CLS"))
    ids = torch.cat([torch.randint(10, 50000, (1, 200)).expand(16, 200), torch.randint(10, 50000, (16, 64))], 1)
    mask = torch.ones_like(ids)

    def f():
        with torch.no_grad():
            for n in names:
                m.set_adapter(n)
                m(input_ids=ids, attention_mask=mask)
    return timed(16, f), detail


def llama_cpp():
    import gguf, llama_cpp
    path = os.path.join(TMP, "f32.gguf")
    if not os.path.exists(path):  # the same weights, as float32
        src = gguf.GGUFReader(os.path.join(SHARED, "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"))
        w = gguf.GGUFWriter(path + ".part", "llama")
        for name, field in src.fields.items():
            if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type", "general.quantization_version"):
                continue
            value, kind = field.contents(), field.types[0]
            if kind == gguf.GGUFValueType.ARRAY:
                w.add_array(name, value)
            else:
                w.add_key_value(name, value, kind)
        w.add_file_type(0)
        for t in src.tensors:
            data = gguf.dequantize(t.data, t.tensor_type).astype("float32")
            w.add_tensor(t.name, data)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()
        os.rename(path + ".part", path)
        os.execv(sys.executable, [sys.executable] + sys.argv)  # measure memory without the conversion
    m = llama_cpp.Llama(path, n_ctx=256, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)
    ids = m.tokenize(b"Once upon a time, in a village by the sea,", add_bos=False)

    def f():
        m.reset()
        m.eval(ids)
        for _ in range(64):
            m.eval([m.sample(temp=0)])
    return timed(64, f), "llama-cpp-python " + llama_cpp.__version__


def own(name):
    return json.load(open(os.path.join(TMP, "%s-%d.json" % (name, THREADS)))), "ours"


def tokenise():
    import tokenizers
    t = tokenizers.Tokenizer.from_file(os.path.join(TMP, "neox.json"))
    texts = json.load(open(os.path.join(TMP, "texts.json")))
    n = sum(len(s.encode()) for s in texts)
    return timed(n / 1e6, lambda: t.encode_batch(texts, add_special_tokens=False)), "tokenizers " + tokenizers.__version__


name, THREADS, TMP, SHARED = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
try:
    f, *args = name.split(":")
    rate, detail = globals()[f](*(int(a) if a.isdigit() else a for a in args))
    print(json.dumps({"Rate": rate, "RSS": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "Detail": detail}))
except (ImportError, OSError) as e:
    print(json.dumps({"Error": "%s: %s" % (type(e).__name__, e)}))
