"""What the Python interpreter needs of the file system: itself, its standard library and the shared libraries."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Loads each extension module's file, as the loader does, and prints what came with it, by the names it goes by.
LIST_LIBRARIES = """
import ctypes, pathlib, sys

class Info(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))

def tell(info, size, data):
    print(info.contents.name.decode())
    return 0

LEFT_OUT = ("_test", "_tkinter", "_curses", "readline", "_dbm", "_gdbm", "nis", "_ssl", "_sqlite3")
for module in pathlib.Path(sys.argv[1]).glob("*.so"):
    if not module.name.startswith(LEFT_OUT):
        try:
            ctypes.CDLL(str(module))
        except OSError:
            pass
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
ctypes.CDLL(None).dl_iterate_phdr(callback(tell), None)
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The interpreter that runs us, without its virtual environment.

    Attributes:
        executable: its file.
        files: files and folders to be seen, source and destination.
        hidden: folders among those that are not to be seen.
    """

    executable: str
    files: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]


@cache
def interpreter() -> Interpreter:
    """Find what the running interpreter needs; the answer is kept."""
    executable = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    modules = str(Path(paths["platstdlib"]) / "lib-dynload")  # DESTSHARED is wrong where an installation was moved
    folders = {paths["stdlib"], paths["platstdlib"]}
    folders = {folder for folder in folders if Path(folder).is_dir()}
    folders = {one for one in folders if not any(Path(one).is_relative_to(other) for other in folders - {one})}
    listing = subprocess.run(
        [executable, "-s", "-S", "-P", "-c", LIST_LIBRARIES, modules], capture_output=True, text=True, check=True
    )
    # Conda's modules find their libraries by their own place: .../lib-dynload/../../libffi.so.8
    libraries = {os.path.normpath(name) for name in listing.stdout.splitlines() if Path(name).is_file()}
    files = [(executable, executable)]
    files += [(folder, folder) for folder in sorted(folders)]
    files += [
        (str(Path(name).resolve()), name)
        for name in sorted(libraries)
        if name != executable and not any(Path(name).is_relative_to(folder) for folder in folders)
    ]
    hidden = [str(Path(folder) / name) for folder in folders for name in ("site-packages", "dist-packages")]
    return Interpreter(executable, tuple(files), tuple(folder for folder in hidden if Path(folder).is_dir()))
