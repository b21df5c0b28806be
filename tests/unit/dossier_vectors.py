"""The published vectors: ``python -m tests.unit.dossier_vectors`` writes them again."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ro_platform.kernel.digest import sha256_hex
from tests.unit.dossier_forgeries import FORGERIES, parts_of
from tests.unit.dossier_world import KEY, DossierWorld

FOLDER = Path(__file__).parents[2] / "docs/reference/conformance"
LIST, ARCHIVE = FOLDER / "vectors.json", FOLDER / "vectors.tar.xz"


def dossiers() -> tuple[bytes, bytes]:
    """A good dossier, and that of another run of another log."""
    files = []
    for scale in (1.5, 2.5):
        world = DossierWorld()
        world.rich_run(scale)
        with tempfile.TemporaryDirectory() as folder:
            world.dossier(Path(folder) / "d", with_artifacts=True)
            files.append((Path(folder) / "d").read_bytes())
    return files[0], files[1]


def vectors() -> tuple[dict[str, Any], dict[str, bytes]]:
    """What is listed, and the files by name."""
    good, other = dossiers()
    files = {"good.dossier": good, "other-run.dossier": other}
    listed = [
        {
            "file": "good.dossier",
            "verdict": "verified",
            "what": "a run with three records, and what touched it",
        },
        {"file": "other-run.dossier", "verdict": "verified", "what": "another run"},
    ]
    for forgery in FORGERIES:
        name = f"{forgery.name}.dossier"
        files[name] = forgery.make(parts_of(good), parts_of(other))
        by = "the log itself" if forgery.key_is_known else "anyone"
        listed.append({"file": name, "verdict": "refused", "what": forgery.what, "by": by})
    for item in listed:
        item["sha256"] = sha256_hex(files[item["file"]])
    return {"key": str(KEY.verifier), "vectors": listed}, files


def main() -> None:
    """Write both files."""
    listed, files = vectors()
    LIST.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", "utf-8")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    ARCHIVE.write_bytes(lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
