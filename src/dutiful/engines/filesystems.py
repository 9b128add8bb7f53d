"""Refuses a SQLite file on a network file system, where its locks and shared memory cannot be trusted.

SQLite's log mode needs memory that all processes share, which is one host's; and many network file
systems lock in name only. The same is true of the locks by which workers tell who is alive. Several
hosts want PostgreSQL.

Refused is what another *host* may have mounted at the same time (:data:`NETWORK`). Not refused, but
worth a warning (:data:`SHARED_WITH_HOST`), is what a virtual machine or container shares with the
host that it runs on: 9p and virtiofs, the "bind mounts" of desktop containers, WSL's ``/mnt/c``.
There it works as long as all processes that use the file run on one side of the border; it is what
people have in development, and gVisor shows even its own root as 9p. A type that is unknown here is
let through.

Not seen: a local file system that is exported elsewhere (its own host is safe, the others are refused
by this check there), and a block device that two hosts mount at once.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from ..model.errors import NetworkFileSystem

_NETWORK = """
    nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs afpfs afs openafs coda ncp ncpfs webdav davfs davfs2
    glusterfs ceph lustre beegfs gpfs panfs pvfs2 orangefs wekafs quobyte gfs gfs2 ocfs2 acfs
    sshfs rclone s3fs gcsfuse goofys mount-s3 mountpoint-s3 blobfuse blobfuse2 ossfs cosfs
    juicefs seaweedfs moosefs mfs lizardfs objectivefs ceph-fuse curlftpfs gvfsd-fuse kio-fuse
"""
_SHARED = "9p virtiofs drvfs fakeowner grpcfuse osxfs vboxsf prl_fs vmhgfs vmhgfs-fuse hgfs"

NETWORK: Final = frozenset(_NETWORK.split())
"""Types of mounts, without a leading ``fuse.``, that several hosts can have at the same time."""

SHARED_WITH_HOST: Final = frozenset(_SHARED.split())
"""Types that a guest shares with its host: safe while only one of the two uses the file."""

_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_MAC_MOUNT = re.compile(r"^.* on (?P<at>/.*) \((?P<kind>[^,)]+)")
_MOUNT_TIMEOUT_S = 5


def refuse_network(path: str) -> None:
    """Raise NetworkFileSystem if ``path``, which need not exist yet, is or would be on one."""
    folder = os.path.dirname(os.path.realpath(path))
    kind = kind_of_folder(folder)
    if kind is not None and _plain(kind) in NETWORK:
        raise NetworkFileSystem(
            f"{path} is on a network file system ({kind}), where SQLite's locks are not safe."
        )


def doubts(path: str) -> list[str]:
    """For ``dutiful doctor``: what is worth knowing about where the file is; empty if all is well."""
    kind = kind_of_folder(os.path.dirname(os.path.realpath(path)))
    if kind is None or _plain(kind) not in SHARED_WITH_HOST:
        return []
    return [
        f"{path} is in a folder shared between a host and its guest ({kind}): use it on one side only, "
        "never on both at the same time."
    ]


def kind_of_folder(folder: str) -> str | None:
    """The type of the file system there, as the system names it; None where it does not tell."""
    try:
        os.stat(folder)  # makes an automounter mount what the table would show as "autofs" only
        if _MOUNTINFO.exists():
            return kind_in_mountinfo(_MOUNTINFO.read_text(errors="surrogateescape"), folder)
        listing = subprocess.run(
            ["/sbin/mount"], capture_output=True, text=True, check=True, timeout=_MOUNT_TIMEOUT_S
        )
        return kind_in_mount_listing(listing.stdout, folder)
    except (OSError, subprocess.SubprocessError):
        return None  # no table (a chroot), or no folder: SQLite will say what is wrong with that


def kind_in_mountinfo(table: str, folder: str) -> str | None:
    """Read Linux's ``/proc/self/mountinfo``: ``… root mount-point options [tags] - type source …``."""
    mounts = []
    for line in table.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if separator and len(fields) > 4:
            point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
            mounts.append((point, after.split(" ", 1)[0]))
    return _kind(mounts, folder)


def kind_in_mount_listing(listing: str, folder: str) -> str | None:
    """Read what macOS's ``mount`` prints: ``source on mount-point (type, options)``."""
    found = (_MAC_MOUNT.match(line) for line in listing.splitlines())
    return _kind([(mount["at"], mount["kind"]) for mount in found if mount], folder)


def _kind(mounts: list[tuple[str, str]], folder: str) -> str | None:
    """The longest mount point that the folder is under; of several on one point the last, on top."""
    best: tuple[int, str] | None = None
    for point, kind in mounts:
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and (best is None or len(point) >= best[0]):
            best = (len(point), kind)
    return best[1] if best else None


def _plain(kind: str) -> str:
    return kind.lower().removeprefix("fuse.")
