"""What requests carry beyond their address, within bounds."""

from urllib.parse import parse_qsl

from fastapi import Request

from lakehouse.web.reading import Refused

_MOST_FORM_BYTES = 256 * 1024
_MOST_FIELDS = 5000


async def body_of(request: Request, most_bytes: int) -> bytes:
    """All of it. Raises Refused for more bytes than these."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most_bytes:
            raise Refused(f"this is more than {most_bytes / 2**20:g} MB")
    return bytes(body)


async def fields_of(request: Request) -> list[tuple[str, str]]:
    """The fields of a form, sent as forms without files are. Raises Refused for anything else."""
    body = await body_of(request, _MOST_FORM_BYTES)
    try:
        return parse_qsl(body.decode("ascii"), max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Refused("this is no form") from error
