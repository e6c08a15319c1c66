"""Packages and dependencies; pyproject.toml says the rest.

One comment per dependency says why it is there. Bounds are what the suite was run with; where an
extra meets a package that another one holds back, the bound stands in the base, so that extras
installed one after the other fit as well. constraints.txt holds exact pins.
"""

import setuptools

# Folders that stand at the top of the checkout and inside the package once installed.
_MAPPED = {"commit_t5x.tasks": "tasks", "commit_t5x.gin": "gin", "commit_t5x.dicts": "dicts"}

setuptools.setup(
    packages=setuptools.find_packages(include=["commit_t5x", "commit_t5x.*"]) + list(_MAPPED),
    package_dir=_MAPPED,
    package_data={
        "commit_t5x": ["py.typed", "data/qa_labels.toml", "data/prompts/*", "samples/*"],
        "commit_t5x.tasks": ["lm_eval/*"],
        "commit_t5x.gin": ["*.gin", "**/*.gin"],
        "commit_t5x.dicts": ["*"],
    },
    install_requires=[
        "absl-py>=2.1",  # flags and logging, as T5X's binaries have them
        "annotated-types>=0.7",  # ranges in annotations
        "babel>=2.14",  # CLDR: languages' names, dictionaries; gettext's catalogues
        "clu>=0.0.12",  # metric writers for TensorBoard
        "datasets>=3.0",  # the Hugging Face hub's data sets, and Parquet through pyarrow
        # linen: the network; T5X's logical axes. Run with 0.12.8 (the last for Python 3.11) and
        # 0.12.12.
        "flax>=0.12.8,<0.13",
        "fsspec>=2024.6",  # data at URLs (gs://, hf://) as well as on the disk
        "gin-config>=0.5.0,<0.6",  # configures every run
        "httpx2>=0.1",  # the hub client's HTTP library, whose errors we tell apart
        "huggingface-hub>=2.0",  # whether the hub answers, before a long wait
        # The network, the optimizer and the mesh. Run with 0.10.2 (the last for Python 3.11) and
        # 0.12.0.
        "jax>=0.10.2,<0.13",
        "lm-eval>=0.4.13,<0.5",  # the scores
        "ml-dtypes>=0.5",  # bfloat16 in NumPy: weight files
        "msgpack>=1.0",  # EasyLM's checkpoints
        "numpy>=2.0",  # host arrays
        "optax>=0.2.8,<0.3",  # AdamW, clipping, schedules
        "orbax-checkpoint>=0.12.8,<0.13",  # checkpoints, as T5X writes them
        "pyarrow>=17",  # Parquet files, and those compressed by zstd
        "pydantic>=2.10,<3",  # what configurations, gin files and flags may hold
        "regex>=2024.4",  # grapheme clusters, scripts
        "requests>=2.32",  # fetches dictionaries
        "rich>=13.0",  # the progress bar, colour in the terminal, the page of `inspect`
        "safetensors>=0.8",  # Hugging Face's weight files, without torch
        # LLaMA's tokenizer; trains the sample one. The code in 0.2.3 wants protobuf 7, and the
        # extra `cache` holds protobuf below.
        "sentencepiece>=0.2.1,<0.2.3",
        "seqio>=0.0.20",  # tasks, mixtures, feature converters
        "simplemma>=2.0,<3",  # lemmas of inflected words
        "stopwordsiso>=0.7",  # closed-class words, which have none
        "tabulate>=0.9",  # tables of text and Markdown
        "tensorboard>=2.20",  # clu's writers for TensorBoard import it
        "tensorflow>=2.21,<2.22",  # tf.data below SeqIO; its wheels bound `requires-python`
        "tensorflow-text>=2.21,<2.22",  # SentencePiece with byte offsets inside the graph
        "tensorstore>=0.1.86",  # slices of a checkpoint's arrays, below Orbax
        "tokenizers>=0.22",  # Hugging Face's tokenizer.json
        "transformers>=5.0,<6",  # tokenizer files of an export; the hf model of lm-eval
    ],
    extras_require={
        "cache": ["apache-beam>=2.77", "google-crc32c>=1.5"],  # seqio_cache_tasks
        "convert": ["torch>=2.13"],  # reads PyTorch's and Meta's weight files
        # NVIDIA's GPUs, by CUDA's libraries from PyPI (3 GB); the driver says which one.
        "cuda12": ["jax[cuda12]"],
        "cuda13": ["jax[cuda13]"],
        "filters": ["datasketch>=1.6"],  # near-duplicate documents
        "gguf": ["gguf>=0.19"],  # reads llama.cpp's weight files
        "plan": ["jax[tpu]"],  # the TPU compiler that this jax wants (700 MB)
        "plot": ["matplotlib>=3.9"],  # the report's plot
        "romanise": ["uroman>=1.3"],  # dictionaries in Latin letters, from any script
        # What T5X and AirIO (from git, see docs/t5x.md) need beyond our own: T5X's trainer imports
        # cached_property, its binaries fiddle; AirIO is made on grain.
        "t5x": ["cached_property>=2.0", "fiddle>=0.3.1", "grain>=0.2.18"],
        "thai": ["pythainlp>=5.0"],  # a segmenter with a Thai dictionary of its own
        # torch: the reference that parity tests compare with, and lm-eval's hf model.
        "torch": ["torch>=2.13", "accelerate>=1.0"],
        "test": [
            *("hypothesis>=6.100", "pytest>=8.0", "pytest-xdist>=3.6", "ruff>=0.9", "mypy>=1.15"),
            "peft>=0.21",  # the reference for low-rank adapters
            "commit-t5x[cache,filters,gguf,plot,romanise,thai,torch]",
        ],
    },
)
