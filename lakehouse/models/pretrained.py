"""Models of transformers, out of a folder or the hub: whatever is wrong with one, said to people.

What a model is used for belongs to the capabilities; what identifies its weights, to `weights`.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from lakehouse.errors import UserError
from lakehouse.models import weights
from lakehouse.models.device import required

_EXCERPT_LIMIT = 300  # characters

T = TypeVar("T")


def configuration(model: str, revision: str | None) -> dict[str, Any] | None:
    """The model's `config.json`; none for a model of the hub that isn't on this machine.

    Raises UserError for a folder that isn't there, can't be read or holds no model.
    """
    folder = Path(model)
    if not folder.is_dir():
        if weights.is_meant_as_folder(model):
            raise UserError(f"there is no folder {model}; correct `model`")
        return weights.configuration(model, revision)
    try:
        found = weights.configuration(model)
    except OSError as error:
        raise UserError(f"folder {model} can't be read: {error}") from error
    if found is None:
        raise UserError(
            f"folder {model} holds no model: it has no config.json; put the whole model there"
        )
    return found


def configuration_at_hub(model: str, revision: str | None) -> dict[str, Any]:
    """The same of a model that isn't on this machine. Raises UserError where it can't be had."""
    found = _loaded(required("transformers").AutoConfig.from_pretrained, model, revision)
    return dict(found.to_dict())


def identity(model: str, revision: str | None) -> list[str | None]:
    """See `weights.identity`. Raises UserError for a folder that can't be read."""
    try:
        return weights.identity(model, revision)
    except OSError as error:
        raise UserError(f"folder {model} can't be read: {error}") from error


def network(model: str, revision: str | None, unused: tuple[str, ...] = (), **options: Any) -> Any:
    """The network, in fp32. Raises UserError where it can't be loaded, or where weights are missing
    of which none begins with `unused`: transformers would make those up."""
    transformers, torch = required("transformers"), required("torch")
    found, report = _loaded(
        transformers.AutoModel.from_pretrained,
        model,
        revision,
        dtype=torch.float32,
        output_loading_info=True,
        **options,
    )
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(unused))
    if missing:
        raise UserError(
            f"model {model} lacks {len(missing)} weights, {missing[0]} for one; "
            "download or copy it again"
        )
    return found


def image_processor(model: str, revision: str | None) -> Any:
    """What turns pictures into the network's tensors. Raises UserError where it can't be loaded."""
    load = required("transformers").AutoImageProcessor.from_pretrained
    try:
        return _loaded(load, model, revision)
    except UserError as error:
        if find_spec("torchvision") is None and "torchvision" in str(error.__cause__):
            raise UserError(
                f"model {model} prepares its pictures by torchvision; install the release of it "
                "that goes with your torch: pip install torchvision"
            ) from error
        raise


def tokenizer(model: str, revision: str | None) -> Any:
    """What turns texts into the network's tensors. Raises UserError where it can't be loaded."""
    return _loaded(required("transformers").AutoTokenizer.from_pretrained, model, revision)


def file_of(model: str, revision: str | None, name: str) -> Path | None:
    """A file of the model; none where it has none of this name."""
    if Path(model).is_dir():
        file = Path(model) / name
        return file if file.is_file() else None
    cached_file = required("transformers.utils").cached_file
    found = cached_file(
        model,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None


def _loaded(load: Callable[..., T], model: str, revision: str | None, **options: Any) -> T:
    is_folder = Path(model).is_dir()
    # It would be drawn into the progress of the run, or the output of a command.
    required("transformers.utils.logging").disable_progress_bar()
    try:
        return load(
            model,
            revision=None if is_folder else revision,
            local_files_only=is_folder,
            trust_remote_code=False,
            **options,
        )
    except MemoryError as error:
        raise UserError(f"there is too little memory to load model {model}") from error
    except Exception as error:  # of transformers, its readers of weights, and its optional parts
        remedy = (
            "put the whole model there again"
            if is_folder
            else "correct its name, or download it and name its folder"
        )
        raise UserError(
            f"model {model} can't be loaded: {_first_words(error)}; {remedy}"
        ) from error


def _first_words(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:_EXCERPT_LIMIT] if words else type(error).__name__
