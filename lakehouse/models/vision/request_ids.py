"""Whether a reply belongs to the request that it came upon.

A server or a proxy that mixes its replies up would give a clip the words about another one. vLLM's
server writes the request's own id into the reply's; of others that number their replies it is known
at least that none comes twice.
"""

from hashlib import blake2b
from uuid import uuid4

_OURS = "kennel-"
_REMEMBERED = 1 << 16  # replies
_FEW = 2


def new_request_id() -> str:
    """An id that no other request of anybody has."""
    return f"{_OURS}{uuid4().hex}"


class ReplyIds:
    """What the ids of earlier replies of one server have shown; `has_any` once there was one."""

    def __init__(self) -> None:
        self.has_any = False
        self._names_requests = False
        self._ids: set[str] = set()
        self._seen: dict[bytes, None] = {}

    def is_foreign(self, reply_id: str | None, request_id: str, body: bytes) -> bool:
        """Whether this reply is to another request than this one.

        It is where its id names another request of ours, where it names none though the server is
        one that does, and where the very same reply came before.
        """
        self.has_any = True
        if not reply_id:
            return self._names_requests
        if request_id in reply_id:
            self._names_requests = True
            return False
        return self._names_requests or _OURS in reply_id or self._came_before(reply_id, body)

    def _came_before(self, reply_id: str, body: bytes) -> bool:
        if len(self._ids) < _FEW:
            self._ids.add(reply_id)
        digest = blake2b(body).digest()
        if digest in self._seen:
            # Of a server that calls all its replies the same, two that are equal mean nothing.
            return len(self._ids) > 1
        self._seen[digest] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return False
