"""Files that ship with the book, files made on this machine, and writing either whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import platformdirs

_HERE = Path(__file__).resolve().parent
DATA = _HERE / "data" if (_HERE / "data").is_dir() else _HERE.parent / "data"
"""The folder of small results that ship: beside the package in a checkout, inside it once installed."""


def cache() -> Path:
    """The folder for what is too big to ship: $MAGBOOK_CACHE, or the user's cache folder."""
    try:
        return Path(os.environ.get("MAGBOOK_CACHE") or platformdirs.user_cache_dir("magbook")).expanduser()
    except RuntimeError:  # nobody knows where home is
        return Path(tempfile.gettempdir()) / "magbook"


def as_path(path: str | Path, name: str = "path") -> Path:
    """A path, with ~ for home. name: what the error calls it. Raises TypeError or ValueError for what is none."""
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes):
        raise TypeError(f"{name}: got {path!r:.100}; a path is needed, as text or pathlib.Path")
    if path == "" or "\0" in str(path):
        raise ValueError(f"{name}: got {str(path)!r}; the path of a file or a folder is needed")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # nobody knows where home is
        raise ValueError(f"{name}: got {str(path)!r}; {error}") from error


_UMASK = os.umask(0)
os.umask(_UMASK)  # it can only be read by setting it


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a binary file that appears under `path` only once it is whole.

    What is written goes to a temporary file beside it, is flushed to the disk, and is then renamed.
    If anything fails (a full disk, an exception, a kill), `path` is as it was before.
    """
    path = as_path(path)
    path = path.resolve() if path.is_symlink() else path  # a link goes on leading there
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This path is a folder, where a file is to be written", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_UMASK  # mkstemp lets nobody else read
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:  # which names the temporary file
        raise OSError(error.errno, f"{error.strerror} while writing", str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # some network file systems know no modes, and each says so in its own way
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, f"{error.strerror} while writing", str(path)) from error
        raise


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time makes a folder: another waits, and says so. A kill frees it."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f".{folder.name}.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process is at work on {folder}; waiting until it is done", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield


def as_json(value: Any, **options: Any) -> str:
    """JSON of what may hold numbers and arrays of NumPy. options: as `json.dumps` takes them. Raises TypeError for what JSON has no place for."""
    def plain(value):
        if isinstance(value, (np.generic, np.ndarray)):
            return value.tolist()
        raise TypeError(f"got {value!r:.100}, for which JSON has no place")

    return json.dumps(value, default=plain, **options)


def keep(path: str | Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by name, in an `.npz` file: read where it is there, else what a function returns, written whole or not at all."""
    path = as_path(path)
    if not callable(make):
        raise TypeError(f"make: got {make!r:.100}; a function that returns arrays by name is needed")
    if not path.exists():
        made = make()
        if not isinstance(made, dict):
            raise TypeError(f"make: it returned {made!r:.100}; arrays by name are needed")
        with atomic(path) as file:
            np.savez(file, **made)  # type: ignore[arg-type]  # names are any but "file"
    with np.load(path, allow_pickle=False) as z:
        return dict(z)


def shipped(name: str) -> Path:
    """The path of a file in `data/`, checked against the SHA-256 in its manifest.

    Raises TypeError for what is no text, FileNotFoundError where the manifest does not know the file, ValueError where it is damaged.
    """
    there = manifest()
    if not isinstance(name, str):
        raise TypeError(f"name: got {name!r:.100}; the name of a file is needed")
    if name not in there:
        raise FileNotFoundError(f"{name} is not in {DATA / 'manifest.json'}; it has {', '.join(sorted(there))}")
    path = DATA / name
    if hashlib.sha256(path.read_bytes()).hexdigest() != there[name]["sha256"]:
        raise ValueError(f"{path} is damaged: its checksum is not the manifest's. Fetch it again, "
                         f"or make it anew: {there[name]['command']}")
    return path


def arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of a shipped `.npz` file, by name. Errors as `shipped`."""
    with np.load(shipped(name), allow_pickle=False) as file:
        return dict(file)


def ship(name: str, **entry: Any) -> None:
    """Enter a file of `data/` into the manifest: its checksum, and the command, seed and version behind it."""
    entry = {"sha256": hashlib.sha256((DATA / name).read_bytes()).hexdigest(), **entry}
    with atomic(DATA / "manifest.json") as file:
        file.write((json.dumps(dict(sorted((manifest() | {name: entry}).items())), indent=2) + "\n").encode())


def manifest() -> dict[str, dict]:
    """What `data/manifest.json` says of each file."""
    path = DATA / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {}
