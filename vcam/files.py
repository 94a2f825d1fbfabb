"""Files: bounded reads, and writes that are complete or do not happen.

Every writer of vcam uses `Draft`. A draft is a temporary file with a random name beside the final
one. It is opened with O_EXCL and O_NOFOLLOW, so no link can be planted in its place, and is renamed
only when it is complete and on the disk. A final name that is a symbolic link, a pipe or a device
is refused, and a file that appears under that name meanwhile is kept.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

_MARK = "vcam-partial"
"""Part of every draft's name: `.<stem>.<8 random hexadecimal digits>.vcam-partial<suffix>`."""
_DRAFT_NAME = re.compile(rf"\..*\.[0-9a-f]{{8}}\.{_MARK}(\.\w+)?", re.DOTALL)
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
"""Flags of renameat2(2)."""
_O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_O_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_O_BINARY = getattr(os, "O_BINARY", 0)


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """List the matching entries of a folder that this user can see; none if there is no folder."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Read a regular file of at most that size. Pipes and devices are refused at once.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger; `strerror` says so.
    """
    content = read_head(path, most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", str(path))
    return content


def read_head(path: Path, most_bytes: int) -> bytes:
    """The first bytes of a regular file, or all of it if it is smaller; else as `read_bounded`.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    with _open_regular(path) as file:
        return file.read(most_bytes)


def read_private(path: Path, most_bytes: int) -> bytes:
    """As `read_bounded`, of a file that belongs to this user alone, in a folder that does: modes
    0600 and 0700 or less, and no links. On Windows a user's folders are so by their place.

    Raises:
        OSError: as `read_bounded`, or others may read or write it or put another in its place.
    """
    if sys.platform != "win32":
        _check_private(path.parent, path.parent.lstat(), stat.S_ISDIR)
        _check_private(path, path.lstat(), stat.S_ISREG)
    return read_bounded(path, most_bytes)


def _check_private(path: Path, about: os.stat_result, is_kind: Callable[[int], bool]) -> None:
    for_others = stat.S_IRWXG | stat.S_IRWXO
    if not is_kind(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & for_others:
        raise OSError(errno.EPERM, "does not belong to this user alone", str(path))


def _open_regular(path: Path) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_RDONLY | _O_NONBLOCK | _O_BINARY), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names are the same file, also through links; False if either is missing."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether it is a folder; False if the name is not a possible file name."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_own(path: Path) -> bool:
    """Whether a file or folder belongs to this user alone: no other user may write to it, and its
    name is not a link. Always True on Windows, where the user's folders are private by location.
    """
    if sys.platform == "win32":
        return True
    try:
        about = path.lstat()
    except (OSError, ValueError):
        return False
    is_plain = stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)
    others_write = stat.S_IWGRP | stat.S_IWOTH
    return is_plain and about.st_uid == os.geteuid() and not about.st_mode & others_write


class Draft:
    """A file in the making. Use it as a context manager: an exception, or leaving without `commit`,
    removes it.

    Args:
        path: the final name; its folder must exist.
        overwrite: replace an existing regular file of that name.
        mode: permission bits; None: those of the replaced file, else what the umask allows.
        durable: flush the file to the disk before it gets its name.

    Attributes:
        path: as given.
        file: open for reading and writing, positioned at its start; owned by the draft.
    """

    def __init__(
        self, path: Path, overwrite: bool = False, mode: int | None = None, durable: bool = True
    ) -> None:
        self.path = path
        self._overwrite, self._mode, self._durable = overwrite, mode, durable
        self._name: Path | None = None
        self._file: BinaryIO | None = None

    @property
    def file(self) -> BinaryIO:
        """See the class."""
        assert self._file is not None, "a draft is written inside its context only"
        return self._file

    def __enter__(self) -> Self:
        """Create the temporary file.

        Raises:
            OSError: the name is taken, a link, not a regular file or not a possible name, or the
                folder is not writable.
        """
        check_target(self.path, self._overwrite)
        self._file, self._name = _make_beside(self.path)
        _OPEN.add(self._name)
        return self

    def commit(self) -> None:
        """Flush the file to the disk and rename it.

        Raises:
            FileExistsError: a file of that name appeared meanwhile. It is kept; the draft is kept
                under the name in the error's `filename2`.
            OSError: it cannot be written; nothing is left behind.
        """
        name, file = self._name, self._file
        assert name is not None, "a draft is committed inside its context, once"
        assert file is not None
        with finishing:
            try:
                file.flush()
                self._set_mode(file.fileno())
                if self._durable:
                    os.fsync(file.fileno())
                final = self.path
                if self._overwrite:
                    check_target(final, overwrite=True)
                    name.replace(final)
                else:
                    final = _name_without_replacing(name, self.path)
                self._name = None
                _OPEN.discard(name)
                if self._durable:
                    _sync_folder(final.parent)
            finally:
                self.discard()
        if final != self.path:
            text = f"a file of this name appeared meanwhile; this one is {final}"
            raise FileExistsError(errno.EEXIST, text, str(self.path), None, str(final))

    def _set_mode(self, handle: int) -> None:
        mode = self._mode
        if mode is None and self._overwrite:
            with suppress(OSError):
                mode = stat.S_IMODE(self.path.stat().st_mode)
        if mode is not None and hasattr(os, "fchmod"):
            with suppress(OSError):  # some file systems have no modes
                os.fchmod(handle, mode)

    def discard(self) -> None:
        """Remove it. May be called twice, also after `commit`."""
        file, self._file = self._file, None
        name, self._name = self._name, None
        if name is not None:
            _OPEN.discard(name)
            with suppress(OSError):
                name.unlink()
        if file is not None:
            with suppress(OSError):
                file.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


class DraftFolder:
    """A temporary folder inside another one, for files that replace others together.

    Attributes:
        path: the folder, while it is open.
    """

    def __init__(self, inside: Path) -> None:
        self.path = inside / f".files.{secrets.token_hex(4)}.{_MARK}"
        self._handle = -1

    def __enter__(self) -> Self:
        """Create it.

        Raises:
            OSError: it cannot be created.
        """
        self.path.mkdir()
        _OPEN.add(self.path)
        if sys.platform != "win32":
            self._handle = os.open(self.path, os.O_RDONLY | _O_NOFOLLOW)
            _lock(self._handle)
        return self

    def discard(self) -> None:
        """Remove it with its content. May be called twice."""
        handle, self._handle = self._handle, -1
        _OPEN.discard(self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        if handle >= 0:
            os.close(handle)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


_OPEN: set[Path] = set()
"""The drafts of this process, for `discard_all`."""
finishing = threading.RLock()
"""Held while a file is completed and renamed; see `discard_all`."""


def is_recording() -> bool:
    """Whether discarding the drafts of this process would lose a recording."""
    return any(_holds_something(name) for name in list(_OPEN))


def _holds_something(name: Path) -> bool:
    try:
        return any(name.iterdir()) if name.is_dir() else name.stat().st_size > 0
    except OSError:
        return False


def discard_all(patience_s: float) -> None:
    """Remove every draft before the process ends; wait for files that are being finished."""
    if finishing.acquire(timeout=patience_s):
        finishing.release()
    for name in list(_OPEN):
        _remove(name)


def write_whole(
    path: Path,
    content: bytes | str,
    mode: int | None = None,
    overwrite: bool = True,
    durable: bool = True,
) -> None:
    """Write a file completely or not at all; see `Draft` for the arguments. Text is UTF-8.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    with Draft(path, overwrite, mode, durable) as draft:
        draft.file.write(content.encode() if isinstance(content, str) else content)
        draft.commit()


def check_target(path: Path, overwrite: bool) -> None:
    """Make sure that a file may be written under this name.

    Raises:
        OSError: it may not; `strerror` says why.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except ValueError as error:  # a null byte, or a character that the file system cannot write
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file in it", str(path))
    if stat.S_ISLNK(mode):
        raise OSError(
            errno.ELOOP,
            f"is a symbolic link to {path.readlink()}; name that file itself",
            str(path),
        )
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is a pipe or a device, not a file; name a file", str(path))
    if not overwrite:
        text = "exists already; replace it with --overwrite, or choose another name"
        raise FileExistsError(errno.EEXIST, text, str(path))


def remove_leftovers(folder: Path) -> None:
    """Remove drafts that killed programs left in a folder: their locks are free."""
    for name in entries(folder, f".*.{_MARK}*"):
        if not _DRAFT_NAME.fullmatch(name.name):
            continue
        with suppress(OSError):
            handle = os.open(name, os.O_RDONLY | _O_NOFOLLOW | _O_NONBLOCK)
            try:
                mode = os.fstat(handle).st_mode
                if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and _lock(handle):
                    _remove(name)
            finally:
                os.close(handle)


def _remove(name: Path) -> None:
    with suppress(OSError):
        if name.is_dir() and not name.is_symlink():
            shutil.rmtree(name, ignore_errors=True)
        else:
            name.unlink()


def _make_beside(path: Path) -> tuple[BinaryIO, Path]:
    """Create a file with a random name beside `path`, locked while it is open."""
    flags = (
        os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_NOFOLLOW | _O_BINARY | getattr(os, "O_CLOEXEC", 0)
    )
    while True:
        name = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.{_MARK}{path.suffix}")
        try:
            handle = os.open(name, flags, 0o666)
        except FileExistsError:
            continue
        except ValueError as error:
            raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
        _lock(handle)
        if (
            sys.platform == "win32" or os.fstat(handle).st_nlink
        ):  # else another program removed it as a leftover
            return os.fdopen(handle, "w+b"), name
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock a file; return whether that worked. Without locks (Windows, some network file systems)
    no file counts as a leftover.
    """
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _name_without_replacing(name: Path, final: Path) -> Path:
    """Rename a file to the first free name of `final`, `final-2`, `final-3` and so on; return that
    name.
    """
    wanted, number = final, 1
    while True:
        try:
            _rename_new(name, wanted)
        except FileExistsError:
            number += 1
            wanted = final.with_name(f"{final.stem}-{number}{final.suffix}")
        else:
            return wanted


def _rename_new(name: Path, final: Path) -> None:
    """Rename a file unless the new name is taken, atomically if the system and file system can.

    Raises:
        FileExistsError: it is taken.
    """
    if sys.platform == "win32":
        name.rename(final)  # never replaces on this system
        return
    number = _renameat2(name, final)
    if number == 0:
        return
    if number not in (errno.ENOSYS, errno.EINVAL):
        raise OSError(number, os.strerror(number), str(final))
    try:
        os.link(name, final)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        name.rename(final)
    else:
        name.unlink()


def _renameat2(name: Path, final: Path) -> int:
    """renameat2(2) with RENAME_NOREPLACE: 0, or the error number."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return errno.ENOSYS
    done = function(_AT_FDCWD, os.fsencode(name), _AT_FDCWD, os.fsencode(final), _RENAME_NOREPLACE)
    return 0 if done == 0 else ctypes.get_errno()


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries to the disk, if the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def reason(error: Exception) -> str:
    """Explain a file error and the next step, in one line without the file's name."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room or write to another one"
    if number == errno.EFBIG:
        return "the file has become too large for this disk or account; write to another one"
    if number == errno.ENOENT:
        return "its folder does not exist; create it first"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{os.strerror(number)}; choose a folder that you may write to"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return said if ";" in said else f"{said}; try another name or folder"
