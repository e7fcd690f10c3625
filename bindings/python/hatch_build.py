"""Puts the C library, and what cffi makes of its header, into the package."""

import pathlib
import shutil
import subprocess
import sysconfig

import cffi
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = pathlib.Path(__file__).parent / "src" / "mlflow_artifacts"


class Library(BuildHookInterface):
    """The wheel fits any Python of this platform: the library is loaded by its path, not linked."""

    def initialize(self, version, build_data):
        printed = subprocess.check_output(["cargo", "xtask", "python-inputs"], cwd=ROOT, text=True)
        library, header = map(pathlib.Path, printed.splitlines())
        shutil.copyfile(library, PACKAGE / "libmlflow_artifacts.so")
        bindings = cffi.FFI()
        bindings.set_source("mlflow_artifacts._bindings", None)
        bindings.cdef(header.read_text(encoding="utf-8"))
        bindings.emit_python_code(str(PACKAGE / "_bindings.py"))
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data.update(pure_python=False, tag=f"py3-none-{platform}")
        build_data["artifacts"] += ["_bindings.py", "libmlflow_artifacts.so"]
