"""Image models at int8 on the CPU: exported once to a cache on this machine, run by onnxruntime.

Weights and activations of the matrix products are 8 bits wide, everything else fp32. Which models
there are, and the same without int8, is in `transformers`.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lakehouse.errors import UserError
from lakehouse.models import device, pretrained
from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders import image_models
from lakehouse.models.embedders.pictures import Pictures
from lakehouse.models.embedders.texts import Texts
from lakehouse.models.embedders.transformers import image_features, loaded
from lakehouse.models.network import Network
from lakehouse.settings import TransformersEmbedder

_EXTRA = "onnx"
_CODE = 1  # raise it when what is written changes
_INPUT = "pixel_values"
_UNFINISHED = ".unfinished"
_TALKATIVE = ("onnxscript.optimizer._constant_folding", "torch.onnx")


class Int8Images:
    """An `Embedder` of frames. Raises UserError, when made, for what can't be loaded or exported.

    What is loaded only to be exported is let go again.
    """

    def __init__(self, settings: TransformersEmbedder, threads: int) -> None:
        self._settings, self._threads = settings, threads
        placement = device.choose(settings.device, "int8", settings.batch_size, threads)
        self.batch_size = placement.batch_size
        self._session = _session(_exported(settings, threads), threads)
        self._pictures = Pictures(settings.model, settings.revision)

    def prepare(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """See `BatchModel.prepare`."""
        return np.asarray(self._pictures.tensors(items)[_INPUT], dtype=np.float32)

    def launch(self, prepared: NDArray[np.float32]) -> Rows:
        """See `BatchModel.launch`; the CPU is done when this returns.

        Pictures go one by one: the scale of 8-bit activations is that of all that goes together,
        and a vector must not depend on its neighbours. A picture alone keeps a CPU busy.
        """
        rows = [self._session.run(None, {_INPUT: picture[None]})[0] for picture in prepared]
        return np.concatenate(rows).astype(np.float32, copy=False)

    def collect(self, launched: Rows) -> Rows:
        """See `BatchModel.collect`."""
        return launched


class Int8JointImages(Int8Images):
    """A `JointEmbedder`. Texts are few, and their side stays fp32: it is loaded when asked for."""

    _texts: Texts | None = None

    def embed_texts(self, texts: Sequence[str]) -> Rows:
        """See `JointEmbedder.embed_texts`."""
        if self._texts is None:
            network = _in_fp32(self._settings, self._threads)
            self._texts = Texts(self._settings.model, self._settings.revision, network)
        return self._texts.embed(texts)


def cache_folder() -> Path:
    """Where exported models are kept; removing it costs only their export."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kennel" / "onnx"


def _exported(settings: TransformersEmbedder, threads: int) -> Path:
    """The model's file in the cache, which is written first where it isn't there."""
    if not image_models.kind(settings).has_one_size:
        raise UserError(
            f"model {settings.model} takes pictures of any shape, which int8 can't; "
            "take a model of a fixed size, or precision fp32 or bf16"
        )
    file = cache_folder() / f"{image_models.version(settings)}-{_CODE}.onnx"
    if file.is_file():
        return file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if not file.is_file():  # another process may have written it meanwhile
                _write(settings, threads, file)
    except OSError as error:
        raise UserError(
            f"the int8 model can't be kept under {file.parent}: {error}; "
            "make room there, or set XDG_CACHE_HOME to another folder"
        ) from error
    return file


def _write(settings: TransformersEmbedder, threads: int, file: Path) -> None:
    torch = device.required("torch")
    device.required("onnxscript", _EXTRA)
    quantization = device.required("onnxruntime.quantization", _EXTRA)
    network = _in_fp32(settings, threads)
    unfinished = f"{file.stem}."
    for left in file.parent.glob(f"{unfinished}*{_UNFINISHED}"):  # by a process that was killed
        shutil.rmtree(left)
    with (
        _silence(),
        TemporaryDirectory(dir=file.parent, prefix=unfinished, suffix=_UNFINISHED) as temporary,
    ):
        wide, narrow = Path(temporary) / "fp32.onnx", Path(temporary) / "int8.onnx"
        try:
            torch.onnx.export(
                _tower(torch, network.module),
                (_sample(settings),),
                wide,
                input_names=[_INPUT],
                output_names=["vectors"],
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise UserError(
                f"model {settings.model} can't be exported for int8: {error}; "
                "set precision to fp32 or bf16"
            ) from error
        quantization.quantize_dynamic(
            wide,
            narrow,
            op_types_to_quantize=["MatMul"],  # a convolution at int8 is slower than at fp32
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            # Sums that can't overflow 16 bits: the same vectors on CPUs with and without VNNI.
            reduce_range=True,
        )
        narrow.replace(file)


def _in_fp32(settings: TransformersEmbedder, threads: int) -> Network:
    return loaded(settings.model_copy(update={"precision": "fp32", "device": "cpu"}), threads)


def _tower(torch: Any, module: Any) -> Any:
    class Tower(torch.nn.Module):  # type: ignore[misc]
        """The image side alone."""

        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, pixel_values: Any) -> Any:
            """The rows of a batch."""
            return image_features(self.module, pixel_values=pixel_values)

    return Tower().eval()


def _sample(settings: TransformersEmbedder) -> Any:
    """One picture as the network takes it."""
    picture = device.required("PIL.Image").new("RGB", (64, 64))
    processor = pretrained.image_processor(settings.model, settings.revision)
    return processor(images=[picture], return_tensors="pt")[_INPUT]


@contextmanager
def _silence() -> Iterator[None]:
    """What exporting and quantising say of their own insides is for nobody here."""

    def is_serious(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    loggers = [logging.getLogger(name) for name in ("", *_TALKATIVE)]
    for logger in loggers:
        logger.addFilter(is_serious)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_serious)


def _session(file: Path, threads: int) -> Any:
    onnxruntime = device.required("onnxruntime", _EXTRA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Else its threads would spin between batches, and take the time of those that prepare.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(
            f"{file} can't be loaded: {error}; remove it, and it is written again"
        ) from error
