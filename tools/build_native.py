"""The build's hook (hatchling calls it): compiles native/sectors.c, where that can be done.

Without a compiler or Python's headers the package is built all the same, without its native part. A wheel with it is
for every Python from 3.11 on, but for those without a global lock, which get one of their own.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "src/cryptlv/ciphers"
IS_LIMITED = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")


def compile_native(root: Path = ROOT) -> tuple[Path | None, str]:
    """Build the extension into the source tree of `root`; gives its path, or None and why there is none."""
    suffix = ".abi3.so" if IS_LIMITED else str(sysconfig.get_config_var("EXT_SUFFIX"))
    target = root / FOLDER / f"_sectors{suffix}"
    target.unlink(missing_ok=True)
    if not sys.platform.startswith("linux"):
        return None, f"it is for Linux, not {sys.platform}"
    include = sysconfig.get_path("include")
    if not os.path.exists(os.path.join(include, "Python.h")):
        return None, f"Python's headers are not in {include}"
    words = [*shlex.split(os.environ.get("CC", "cc")), "-O2", "-fPIC", "-shared", f"-I{include}"]
    words += [*shlex.split(os.environ.get("CFLAGS", "")), str(root / "native" / "sectors.c"), "-o", str(target)]
    words += shlex.split(os.environ.get("LDFLAGS", ""))
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        return None, f"there is no C compiler ({words[0]}: {error.strerror})"
    if done.returncode:
        return None, f"{words[0]} failed: {done.stderr.strip()[-2000:]}"
    return target, ""


class NativeBuildHook(BuildHookInterface[Any]):
    """Adds the extension to a wheel and names the wheel after what it is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is "standard" or "editable"; the latter uses the extension where it was built."""
        built, reason = compile_native(Path(self.root))
        if built is None:
            self.app.display_warning(f"cryptlv is built without its native part: {reason}")
            return
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        if IS_LIMITED:
            build_data["tag"] = f"cp311-abi3-{platform}"
        else:
            build_data["infer_tag"] = True
        build_data["artifacts"].append(f"/{FOLDER}/{built.name}")
