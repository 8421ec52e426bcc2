"""What a folder lies on: whether other nodes share that file system, and whether they see each other's locks there."""

import re
from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/self/mountinfo")

# Of one node alone. What is not listed here may be shared by several, as most of what is mounted by FUSE is.
LOCAL = {
    *("apfs", "bcachefs", "btrfs", "ecryptfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfsplus", "jfs"),
    *("msdos", "ntfs", "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "tmpfs", "ufs", "vfat", "xfs", "zfs"),
    *(f"fuse.{name}" for name in ("bindfs", "cryfs", "encfs", "fuse-overlayfs", "gocryptfs", "mergerfs", "unionfs")),
}
# Shared by several nodes, with locks that all of them see.
LOCKS_SHARED = {"ceph", "fuse.ceph-fuse", "fuse.glusterfs", "gfs2", "gpfs", "ocfs2"}


class Mount(NamedTuple):
    """What a folder lies on.

    Attributes:
        kind: the file system's name; empty where the system does not tell.
        options: how it is mounted.
    """

    kind: str = ""
    options: frozenset[str] = frozenset()

    @property
    def is_local(self) -> bool:
        """Whether it is this node's alone."""
        return not self.kind or self.kind in LOCAL

    @property
    def shares_locks(self) -> bool:
        """Whether a lock that one node holds is seen by the others, as far as is known; nfs(5), mount.lustre(8)."""
        if self.kind in {"nfs", "nfs4"}:
            return not self.options & {"nolock", "local_lock=flock", "local_lock=posix", "local_lock=all"}
        if self.kind == "lustre":
            return "flock" in self.options
        if self.kind in {"cifs", "smb3"}:
            return "nobrl" not in self.options
        return self.kind in LOCKS_SHARED


def mount_of(folder: Path) -> Mount:
    """What a folder lies on: the innermost mount above it, of several in one place the last."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return Mount()
    there, found, depth = folder.resolve(), Mount(), 0
    for line in lines:
        mounted, _, source = line.partition(" - ")  # proc_pid_mountinfo(5): six fields and more, then three
        fields, (kind, _, own) = mounted.split(" "), source.split(" ", 2)
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if len(point.parts) >= depth and there.is_relative_to(point):
            found, depth = Mount(kind, frozenset(f"{fields[5]},{own}".split(","))), len(point.parts)
    return found
