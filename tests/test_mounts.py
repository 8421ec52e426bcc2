"""What a folder lies on, by what the kernel says of its mounts."""

from pathlib import Path

import pytest

from evolvent import mounts
from evolvent.mounts import Mount, mount_of

LINES = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 22 0:40 / /scratch rw,relatime shared:2 master:1 - lustre 10.0.0.1@o2ib:/lfs rw,flock,lazystatfs
31 30 0:41 / /scratch/my\040data rw - nfs4 server:/data rw,vers=4.2,local_lock=none,addr=10.0.0.2
32 22 0:42 / /home rw - autofs /etc/auto.home rw
33 22 0:43 / /home rw - nfs server:/home rw,vers=3,local_lock=all
34 22 0:44 / /scratchy rw - fuse.sshfs me@host:/ rw,user_id=0
"""


@pytest.mark.parametrize(
    ("folder", "kind", "is_local", "shares_locks"),
    [
        ("/tmp/run", "ext4", True, False),
        ("/scratch/run", "lustre", False, True),
        ("/scratch/my data/run", "nfs4", False, True),
        ("/home/me/run", "nfs", False, False),
        ("/scratchy/run", "fuse.sshfs", False, False),
    ],
)
def test_the_innermost_mount_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, kind: str, is_local: bool, shares_locks: bool
) -> None:
    (tmp_path / "mountinfo").write_text(LINES)
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    found = mount_of(Path(folder))
    assert (found.kind, found.is_local, found.shares_locks) == (kind, is_local, shares_locks)


@pytest.mark.parametrize(
    ("kind", "options", "shared"),
    [
        ("nfs", "nolock", False),
        ("nfs", "local_lock=posix", False),
        ("lustre", "localflock", False),
        ("lustre", "rw", False),
        ("cifs", "rw", True),
        ("cifs", "nobrl", False),
        ("gpfs", "rw", True),
        ("beegfs", "rw", False),
        ("fuse.rclone", "rw", False),
    ],
)
def test_whether_locks_are_seen_by_other_nodes(kind: str, options: str, shared: bool) -> None:
    assert Mount(kind, frozenset({options})).shares_locks == shared
    assert not Mount(kind).is_local


def test_where_the_system_does_not_tell_it_is_taken_for_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "none")
    assert mount_of(tmp_path) == Mount()
    assert Mount().is_local
