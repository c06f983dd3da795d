"""What a Hugging Face or sentence-transformers folder says about itself. Plain JSON only; module types
by allow-list; weights from safetensors only, never a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingExtra, TrunkError
from trunkline.files import safe_below

PATTERNS = (  # the only files ever fetched from a hub
    "*.json",
    "*/*.json",
    "model.safetensors",
    "*/model.safetensors",
    "onnx/model.onnx",
    "onnx/model.onnx_data",
)
MODULES = ("Transformer", "Pooling", "Dense", "Normalize")  # in this order
MODEL_TYPES = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
_POOLINGS = {  # one key a mode in older folders; sentence-transformers 6 writes "pooling_mode"
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
}
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_SENTENCE = "sentence_embedding"  # what a module after pooling reads and writes


@dataclass(frozen=True)
class Described:
    """An encoder as its folder describes it. Paths are relative to `folder`."""

    folder: Path
    model: str  # folder of the transformer, "" or "0_Transformer"
    config: dict[str, Any]
    pooling: str
    normalize: bool
    dense: tuple[str, ...]
    prefix: str
    max_tokens: int

    def file(self, name: str) -> Path:
        return self.folder / self.model / name


BACK = "bring the folder back to its place"  # a bundle names it, and pins what is in it


def locate(name: str) -> Path:
    """The folder of "folder:<path>", or of "hf:<id>" or "hf:<id>@<revision>" through huggingface_hub,
    which honours HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE. Raises TrunkError, MissingExtra."""
    kind, _, rest = name.partition(":")
    if kind == "folder":
        folder = Path(rest).expanduser()
        if not folder.is_dir():
            raise TrunkError("the trunk's folder is not there", where=str(folder), hint=f"{BACK}, or name another trunk in [trunks] and train again")
        return folder
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "hub") from error
    repo, _, revision = rest.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=list(PATTERNS)))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise TrunkError(
            f"{repo} can't be fetched from the hub",
            found=str(error).strip().splitlines()[0][:200],
            hint="check the id, HF_ENDPOINT and HF_TOKEN, or give a local folder: folder:/path",
        ) from error


def describe(folder: Path) -> Described:
    """Read the folder's JSON files. Raises TrunkError for a module or pooling that is not known."""
    modules = _modules(folder)
    model = modules["Transformer"][0]
    config = read_json(safe_below(folder, f"{model}/config.json") if model else folder / "config.json")
    pooling = "mean"
    if "Pooling" in modules:
        pooling = _pooling(read_json(safe_below(folder, f"{modules['Pooling'][0]}/config.json")), folder)
    prompts = read_json(folder / "config_sentence_transformers.json", {})
    named = prompts.get("prompts") or {}
    prefix = named.get(prompts.get("default_prompt_name") or "", "") if isinstance(named, dict) else ""
    for name in modules.get("Dense", []):
        _check_sentence(safe_below(folder, f"{name}/config.json"))
    return Described(
        folder=folder,
        model=model,
        config=config,
        pooling=pooling,
        normalize="Normalize" in modules,
        dense=tuple(modules.get("Dense", ())),
        prefix=str(prefix),
        max_tokens=max(8, min(_asked_tokens(folder / model), _positions(config), 512)),
    )


def _asked_tokens(model: Path) -> int:
    """sentence-transformers' own limit, else the tokenizer's (which is huge where it has none)."""
    asked = read_json(model / "sentence_bert_config.json", {}).get("max_seq_length")
    return int(asked or read_json(model / "tokenizer_config.json", {}).get("model_max_length") or 512)


def _positions(config: dict[str, Any]) -> int:
    given = int(config.get("max_position_embeddings") or 512)
    return given - offset(config)


def offset(config: dict[str, Any]) -> int:
    """Position of the first token: RoBERTa and its kin count from the padding's id plus one."""
    kin = MODEL_TYPES - {"bert"} | {"mpnet"}
    return int(config.get("pad_token_id") or 0) + 1 if config.get("model_type") in kin else 0


def _modules(folder: Path) -> dict[str, list[str]]:
    """Module type -> its folders, in order; a plain transformer without modules.json is mean-pooled."""
    listed = read_json(folder / "modules.json", [])
    if not listed:
        return {"Transformer": [""]}
    found: dict[str, list[str]] = {}
    for module in listed:
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if not str(module.get("type", "")).startswith("sentence_transformers.") or kind not in MODULES:
            raise TrunkError(
                "this encoder has a module that is not known here",
                where=str(folder / "modules.json"),
                found=str(module.get("type")),
                wanted=", ".join(MODULES),
            )
        if any(later in found for later in MODULES[MODULES.index(kind) + 1 :]):
            raise TrunkError(
                "this encoder's modules come in an order that is not known here",
                where=str(folder / "modules.json"),
                found=f"{kind} after {', '.join(found)}",
                wanted=", ".join(MODULES),
            )
        found.setdefault(kind, []).append(str(module.get("path", "")))
    if "Transformer" not in found:
        raise TrunkError("modules.json names no Transformer", where=str(folder))
    return found


def _pooling(config: dict[str, Any], folder: Path) -> str:
    modes = config.get("pooling_mode")
    if modes is None:
        on = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
        modes = [_POOLINGS.get(key, key) for key in on]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) == 1 and modes[0] in _POOLINGS.values() and config.get("include_prompt", True):
        return str(modes[0])
    raise TrunkError(
        "this encoder pools in a way that is not known here",
        where=str(folder),
        found=", ".join(map(str, modes)) + ("" if config.get("include_prompt", True) else " without the prompt"),
        wanted=f"{', '.join(_POOLINGS.values())} over all tokens",
    )


def _check_sentence(path: Path) -> None:
    config = read_json(path)
    named = [config.get(key, _SENTENCE) for key in ("module_input_name", "module_output_name")]
    if named != [_SENTENCE, _SENTENCE]:
        raise TrunkError(
            "a Dense layer that isn't over the pooled vector",
            where=str(path),
            found=" to ".join(map(str, named)),
            wanted=_SENTENCE,
        )


def load_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The floats of a safetensors file, whatever their width; numpy knows no bfloat16, which is the upper
    half of a float32. Raises TrunkError for a file that is none."""
    from safetensors import SafetensorError, deserialize

    try:
        parts = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise TrunkError("these weights can't be read", where=str(path), found=str(error)) from error
    found = {}
    for name, part in parts:
        if part["dtype"] == "BF16":
            whole = np.frombuffer(part["data"], "<u2").astype("<u4") << np.uint32(16)
            found[name] = whole.view("<f4").reshape(part["shape"])
        elif part["dtype"] in _FLOATS:
            found[name] = np.frombuffer(part["data"], _FLOATS[part["dtype"]]).reshape(part["shape"]).astype(np.float32)
    return found


def read_json(path: Path, default: Any = None) -> Any:
    """Raises TrunkError for a file that is no JSON, or is missing without a default."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if default is not None:
            return default
        raise TrunkError("the encoder lacks a file", where=str(path), found="nothing") from None
    except (OSError, ValueError) as error:
        raise TrunkError("this file can't be read", where=str(path), found=str(error)) from error
