"""Direct preference optimisation by `trl` on the pairs that `synthdata construct select_pairs` chose.

The model is a tiny one made here, so that nothing is downloaded: put your own model and tokenizer in its place.

    python recipes/interop/trl_dpo.py
"""

from copy import deepcopy
from typing import Any

from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

pairs = load_dataset("out/pref", "relations", split="train").select_columns(["prompt", "chosen", "rejected"])
letters = {letter: number for number, letter in enumerate(["<pad>", "<eos>", "<unk>", *map(chr, range(32, 127))])}
splitter = Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
splitter.pre_tokenizer = pre_tokenizers.Split("", "isolated")
tokenizer = PreTrainedTokenizerFast(tokenizer_object=splitter, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
size: Any = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(letters), pad_token_id=0, eos_token_id=1, bos_token_id=1, **size))
settings = DPOConfig(
    "out/dpo", beta=0.1, max_steps=8, per_device_train_batch_size=4, learning_rate=1e-3, logging_steps=1,
    report_to="none", save_strategy="no", use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True,
)  # fmt: skip
trainer = DPOTrainer(model, deepcopy(model), args=settings, train_dataset=pairs, processing_class=tokenizer)
trainer.train()
for entry in trainer.state.log_history:
    if "rewards/margins" in entry:
        print(f"loss {entry['loss']:.3f}, margin {entry['rewards/margins']:.4f}")
