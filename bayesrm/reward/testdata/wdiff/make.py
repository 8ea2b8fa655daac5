"""Makes a small Llama, a reward model on it, and the difference of the two as AlpacaFarm publishes it: torch, transformers."""
import json, os, sys
import torch, transformers
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
out = sys.argv[1]
raw = LlamaForCausalLM(LlamaConfig(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=32, rms_norm_eps=1e-6, tie_word_embeddings=False)).float()
os.makedirs(out + "/raw", exist_ok=True)
raw.save_pretrained(out + "/raw")
head = torch.nn.Linear(8, 1)
tuned = {}
for k, v in raw.state_dict().items():
    if k in ("model.embed_tokens.weight", "lm_head.weight"):  # one token more, its row the mean of the others
        v = torch.cat([v, v.mean(0, keepdim=True)])
    tuned["backbone_model." + k] = v + 0.05 * torch.randn_like(v)
freq = 10000.0 ** (-torch.arange(0, 4, 2).float() / 4)
for l in range(2):
    tuned[f"backbone_model.model.layers.{l}.self_attn.rotary_emb.inv_freq"] = freq.clone()
tuned["reward_head.weight"], tuned["reward_head.bias"] = head.weight.detach(), head.bias.detach()
diff = {}
before = {"backbone_model." + k: v for k, v in raw.state_dict().items()}
for l in range(2):
    before[f"backbone_model.model.layers.{l}.self_attn.rotary_emb.inv_freq"] = freq
for k, v in tuned.items():
    diff[k] = v - before[k] if k in before and before[k].shape == v.shape else v
os.makedirs(out + "/diff", exist_ok=True)
torch.save(diff, out + "/diff/pytorch_model.bin")
json.dump({"model_type": "reward_model", "backbone_model_name_or_path": "raw"}, open(out + "/diff/config.json", "w"))
open(out + "/diff/model_sum.txt", "w").write(str(sum(v.sum() for v in tuned.values()).item()))
m = LlamaForCausalLM(LlamaConfig(**{**raw.config.to_dict(), "vocab_size": 12})).float()
m.load_state_dict({k[len("backbone_model."):]: v for k, v in tuned.items() if k.startswith("backbone_model.") and "inv_freq" not in k})
m.eval()
golden = []
for ids in [[1, 4, 5, 6], [1, 9, 3, 11, 2, 7, 8]]:
    with torch.no_grad():
        h = m.model(torch.tensor([ids])).last_hidden_state[0, -1]
        golden.append({"ids": ids, "reward": head(h).item()})
json.dump({"made_with": f"torch {torch.__version__}, transformers {transformers.__version__}", "cases": golden}, open(out + "/golden.json", "w"), indent=1)
