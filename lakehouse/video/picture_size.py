"""How large a picture may be, made FFmpeg's own bound: it checks before it sets memory aside.

Sizes of pictures belong here; other claims of a file are checked in `claims`.
"""

from av.container import InputContainer
from av.error import FFmpegError, MemoryError, OverflowError
from av.video.stream import VideoStream

from lakehouse.settings import LimitSettings

MOST_PIXELS = LimitSettings().picture_pixels
_OPTION = "max_pixels"
_ROW_ALIGNMENT_PX = 64  # FFmpeg counts rows as it lays them out


def size_options(most_pixels: int) -> dict[str, str]:
    """Options that a container is to be opened with, for its decoders to be bounded already
    while FFmpeg looks for what is in it."""
    return {_OPTION: str(most_pixels)}


def bound_decoders(container: InputContainer) -> None:
    """Bound the decoders of a container that was opened with `size_options`."""
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {_OPTION: container.options[_OPTION]}


def oversize(stream: VideoStream) -> str | None:
    """What is wrong with the size of the stream's picture, none if it is within the bound."""
    context = stream.codec_context
    row_px = -(-context.width // _ROW_ALIGNMENT_PX) * _ROW_ALIGNMENT_PX
    if row_px * context.height <= _bound(stream):
        return None
    return f"a picture of {context.width} x {context.height} is more than {_allowance(stream)}"


def refusal(stream: VideoStream, error: FFmpegError) -> str | None:
    """What is wrong with the size of a picture, where that is why the decoder gave this error.

    H.264's and HEVC's tell how large it was; the others forget it, but for AV1's, that has a code
    for it, and those that run into the bound with the edges that they draw around a picture.
    """
    said = oversize(stream)
    if not said and (
        stream.codec_context.width == 0 or isinstance(error, (OverflowError, MemoryError))
    ):
        return f"a picture has no size, or is with its edges more than {_allowance(stream)}"
    return said


def _bound(stream: VideoStream) -> int:
    return int(stream.container.options.get(_OPTION, MOST_PIXELS))


def _allowance(stream: VideoStream) -> str:
    return f"limits.picture_pixels allows, which is {_bound(stream)}"
