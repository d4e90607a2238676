"""Fine-tuning by `transformers.Trainer`, as the official text-classification example uses it.

In: a job (see `benchmarks.train`). Out: seconds of training and the logits on test. `default`
pads everything to the longest input allowed; `best` is its best plain setting: padding to the
longest of a batch, reviews of similar length grouped, and the faster precision.
"""

import tempfile
import time
from typing import Any


def train(job: dict[str, Any], model: Any, tokenizer: Any) -> float:
    """Train in place; returns seconds, without tokenization."""
    import torch
    from datasets import Dataset
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

    best = job["implementation"].startswith("trainer best")
    padding = {} if best else {"padding": "max_length"}

    def tokenize(rows: dict[str, Any]) -> Any:
        return tokenizer(rows["text"], truncation=True, max_length=job["max_tokens"], **padding)

    data = Dataset.from_dict({"text": job["texts"], "label": job["labels"]})
    data = data.map(tokenize, batched=True, remove_columns="text")
    set_seed(job["seed"])
    options = {"train_sampling_strategy": "group_by_length", "bf16": job["bf16_is_faster"]}
    on_cpu = not torch.cuda.is_available()  # Trainer refuses bf16 on a CPU without `use_cpu`
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=job["reviews_per_update"],
            num_train_epochs=job["epochs"],
            learning_rate=job["learning_rate"],
            weight_decay=0.01,
            warmup_steps=0.1,
            seed=job["seed"],
            save_strategy="no",
            report_to="none",
            use_cpu=on_cpu,
            disable_tqdm=True,
            logging_strategy="no",
            **(options if best else {}),
        )
        collator = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8) if best else None
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer,
            data_collator=collator,
        )
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started
