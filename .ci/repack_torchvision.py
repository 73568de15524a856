"""Make a torchvision that loads beside a CPU build of torch.

The wheel on PyPI is built for CUDA: its library doesn't load there, and the import fails for want
of two operators. This one goes without compiled operators and only declares those two; resizing and
normalising pictures needs none.

usage: repack_torchvision.py WHEEL FOLDER
"""

import base64
import csv
import hashlib
import io
import sys
import zipfile
from pathlib import Path

_LAST_LINE = b"\n\n_check_cuda_version()\n"
_DECLARATIONS = b"""

if not _has_ops():
    _boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    torch.library.define("torchvision::nms", _boxes)
    torch.library.define("torchvision::qnms", _boxes)
"""


def repack(wheel: Path, folder: Path) -> Path:
    """Write the wheel anew, as version `+cpu`, into the folder; returns where it lies."""
    version = wheel.name.split("-")[1]
    info, new_info = (f"torchvision-{name}.dist-info" for name in (version, f"{version}+cpu"))
    target = folder / wheel.name.replace(f"-{version}-", f"-{version}+cpu-")
    record: list[tuple[str, str, int | str]] = []
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if _is_compiled(name) or name.endswith(("/", "/RECORD")):
                continue
            data = old.read(name)
            if name == f"{info}/METADATA":
                told = f"Version: {version}".encode()
                data = data.replace(told, told + b"+cpu", 1)
            if name == "torchvision/extension.py":
                data = _declaring(data)
            new_name = name.replace(info, new_info)
            new.writestr(new_name, data)
            record.append((new_name, f"sha256={_digest(data)}", len(data)))
        record.append((f"{new_info}/RECORD", "", ""))
        new.writestr(f"{new_info}/RECORD", _table(record))
    return target


def _is_compiled(name: str) -> bool:
    return name.endswith(".so") or name.startswith("torchvision.libs/")


def _declaring(extension: bytes) -> bytes:
    changed = extension.replace(_LAST_LINE, _DECLARATIONS + _LAST_LINE)
    if changed == extension:
        raise SystemExit("this torchvision declares its operators elsewhere; look at extension.py")
    return changed


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _table(record: list[tuple[str, str, int | str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(record)
    return text.getvalue()


if __name__ == "__main__":
    print(repack(Path(sys.argv[1]), Path(sys.argv[2])))
