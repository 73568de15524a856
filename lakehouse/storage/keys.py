"""What an object's key says: robot, camera, day and name, by one pattern for the whole bucket.

Only text is looked at here, never an object.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Self

from lakehouse.errors import UserError

_FIELDS = ("robot", "camera", "day", "name")
_FIELD = re.compile(r"\{([^{}]*)\}")
_EXAMPLE = "{robot}/{camera}/{day}/{name}"
_UNCARRIED = ("|", "...")  # one parts Dagster's dimensions, the other its ranges of partitions


@dataclass(frozen=True)
class KeyFields:
    """What a key says. `camera` is the partition's value, `robot-camera` where there is a robot.

    Without `{name}` in the pattern, `name` is the key's last part.
    """

    robot: str | None
    camera: str
    day: date
    name: str


@dataclass(frozen=True)
class Mismatch:
    """A key that the pattern can't read, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class KeyPattern:
    """A pattern such as `{robot}/{camera}/{day}/{name}`; make one with `parse`.

    A field stands for one or more characters other than `/`, as few as will do. As the last field
    `{name}` may also hold `/`, so that a day can have folders of its own.
    """

    text: str
    _parts: tuple[str, ...]  # literals at even places, field names at odd ones
    _expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UserError for a pattern that can't tell a camera and a day from every key."""
        parts = tuple(_FIELD.split(text))
        literals, fields = parts[::2], parts[1::2]
        for problem, wrong in {
            "its braces don't pair up": any(set("{}") & set(literal) for literal in literals),
            f"its fields can only be {', '.join(_FIELDS)}": not set(fields) <= set(_FIELDS),
            "a field stands in it twice": len(set(fields)) < len(fields),
            "it needs {camera} and {day}": not {"camera", "day"} <= set(fields),
            "two fields touch": "" in literals[1:-1],
            "no key starts with '/'": text.startswith("/"),
        }.items():
            if wrong:
                raise UserError(f"key_pattern {text!r}: {problem}; write it like {_EXAMPLE}")
        expression = "".join(
            _expression_of(part, last=place == len(parts) - 2) if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
        return cls(text, parts, re.compile(expression, re.DOTALL))

    def match(self, key: str) -> KeyFields | Mismatch:
        """What the key says, or why it can't be read."""
        found = self._expression.fullmatch(key)
        if found is None:
            return Mismatch(key, f"does not fit {self.text}")
        said = found.groupdict()
        for field in ("robot", "camera"):
            if reason := _why_uncarried(field, said.get(field) or ""):
                return Mismatch(key, reason)
        camera = said["camera"]
        if robot := said.get("robot"):
            camera = f"{robot}-{camera}"
        try:
            day = date.fromisoformat(said["day"])
        except ValueError:
            return Mismatch(key, f"{said['day']} is no day")
        return KeyFields(robot, camera, day, said.get("name") or key.rpartition("/")[2])

    def format(self, fields: KeyFields) -> str:
        """The key that says `fields`. Raises ValueError if `match` would not read it so."""
        values = {"camera": fields.camera, "day": fields.day.isoformat(), "name": fields.name}
        if fields.robot is not None:
            values["robot"] = fields.robot
            values["camera"] = fields.camera.removeprefix(f"{fields.robot}-")
        key = "".join(
            values.get(part, "") if place % 2 else part for place, part in enumerate(self._parts)
        )
        if self.match(key) != fields:
            raise ValueError(f"no key of {self.text} says {fields}")
        return key

    def prefixes(self, day: date, camera: str) -> tuple[str, ...]:
        """Prefixes that together start every key of a partition, none within another.

        Other keys may start with them too: what a listing yields is for `match` to judge.
        """
        prefixes = sorted(
            {
                self._prefix({"robot": robot, "camera": own, "day": day.isoformat()})
                for robot, own in self._readings(camera)
            }
        )
        kept: list[str] = []
        for prefix in prefixes:
            if not kept or not prefix.startswith(kept[-1]):
                kept.append(prefix)
        return tuple(kept)

    def _readings(self, camera: str) -> list[tuple[str, str]]:
        """Every robot and camera of its own that the partition's value may stand for."""
        if "robot" not in self._parts[1::2]:
            return [("", camera)]
        dashes = [place for place, character in enumerate(camera) if character == "-"]
        return [(camera[:at], camera[at + 1 :]) for at in dashes if 0 < at < len(camera) - 1]

    def _prefix(self, known: dict[str, str]) -> str:
        prefix = ""
        for place, part in enumerate(self._parts):
            if place % 2 and part not in known:
                break
            prefix += known[part] if place % 2 else part
        return prefix


def _expression_of(field: str, *, last: bool) -> str:
    if field == "day":
        return "(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    if field == "name" and last:
        return "(?P<name>[^/]+(?:/[^/]+)*?)"
    return f"(?P<{field}>[^/]+?)"


def _why_uncarried(field: str, value: str) -> str | None:
    for sign in _UNCARRIED:
        if sign in value:
            return f"{field} {value!r} holds {sign!r}, which Dagster partitions can't carry"
    if value and not value.isprintable():
        return f"{field} {value!r} holds characters that can't be printed"
    return None
