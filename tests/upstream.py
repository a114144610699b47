"""Small archives in the layout of those upstream, for the tests of the readers."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def pack(path: Path, files: Mapping[str, bytes], *odd: tarfile.TarInfo) -> Path:
    """Write a tar archive of these files, then of the odd members; compressed as the name of `path` ends."""
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in odd:
            archive.addfile(member)
    return path


def unpack(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write these files below a folder; return the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
