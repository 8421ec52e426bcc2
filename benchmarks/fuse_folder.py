"""A folder mounted by FUSE: what is in another one, by a process that answers the kernel.

    python -m benchmarks.fuse_folder FOLDER MOUNTED KIND [direct]

The kernel knows it as fuse.KIND. With ``direct`` nothing is cached, and no file can be mapped so that all see it. Locks
are the kernel's, of this node; a rename takes no flags, as on NFS, SMB and Lustre. It needs mfusepy and libfuse.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import mfusepy


class Folder(mfusepy.Operations):
    """The operations, each on the folder's own file."""

    use_ns = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _at(self, path: str) -> Path:
        return self._folder / path.lstrip("/")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        state = os.fstat(fh) if fh is not None else self._at(path).lstat()
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks")
        times = {f"st_{name}time": getattr(state, f"st_{name}time_ns") for name in "amc"}
        return {name: getattr(state, name) for name in names} | times

    def readdir(self, path: str, _: int) -> list[str]:
        return [".", "..", *(file.name for file in self._at(path).iterdir())]

    def create(self, path: str, mode: int, _: object = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags & ~os.O_APPEND)

    def read(self, _: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, _: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path) if fh is None else fh, length)
        return 0

    def fsync(self, _path: str, _data: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, _: str, fh: int) -> int:
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> int:
        self._at(old).rename(self._at(new))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._at(path).mkdir(mode)
        return 0

    def rmdir(self, path: str) -> int:
        self._at(path).rmdir()
        return 0

    def unlink(self, path: str) -> int:
        self._at(path).unlink()
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._at(path).chmod(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._at(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._at(path), ns=times)
        return 0


class Mounted(mfusepy.FUSE):
    """The mount; mfusepy itself takes a rename with flags for one without."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        return -errno.EINVAL if flags else int(super().rename_fuse_3(old, new, 0))


if __name__ == "__main__":
    folder, mounted, kind, *direct = sys.argv[1:]
    options = {"direct_io": True} if direct else {}
    Mounted(Folder(Path(folder)), mounted, foreground=True, nothreads=False, subtype=kind, fsname=kind, **options)
