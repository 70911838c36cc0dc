"""Folders on object stores (`s3://`, `gs://`, `hf://`, `memory://`): read and written whole files at a time, by fsspec.

What fails for a moment is tried again, and what was moved is compared: sizes as it is written, SHA-256 as it is
fetched. Who may do what there, and where it is (an endpoint of one's own), is said to the store's own library, by its
files and the environment (`AWS_PROFILE`, `AWS_ENDPOINT_URL`, `HF_TOKEN`, ...): no key of theirs stands in a
configuration.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import logging
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from speechgru.errors import CorpusError, UserError
from speechgru.files import ANY_SIZE, atomic_path, sha256_of, user_cache
from speechgru.store_kinds import (
    bucket_of,
    is_final,
    is_missing_file,
    is_refusal,
    kind_of,
    missing_place,
    require_place,
    scheme_of,
)

_URL = re.compile(r"[a-z][a-z0-9+.-]+://.*", re.IGNORECASE)
#: Attempts at a time, and the seconds before the second; each further wait is twice as long.
_ATTEMPTS, _WAIT_SECONDS = 5, 0.5
_BLOCK = 1 << 22

_Result = TypeVar("_Result")


def is_remote(path: str | Path) -> bool:
    """Whether a path is an address on a store, and not a file's.

    >>> is_remote("s3://bucket/shards"), is_remote("shards/train")
    (True, False)
    """
    return isinstance(path, str) and _URL.fullmatch(path) is not None and not path.startswith("file://")


def require_lasting(path: str | Path) -> None:
    """Refuses an address of what is gone when the process ends, to be asked by a command, which ends then.

    >>> require_lasting("shards/train")
    >>> require_lasting("memory://shards")
    Traceback (most recent call last):
    speechgru.errors.UserError: memory://shards: lies in this command's memory, and is gone when it ends; name a \
folder, or a store such as s3://bucket/shards
    """
    if str(path).lower().startswith("memory://"):
        raise UserError(
            f"{path}: lies in this command's memory, and is gone when it ends; name a folder, or a store such as "
            "s3://bucket/shards"
        )


def joined(folder: str, name: str) -> str:
    """The address of a file in a folder of a store.

    >>> joined("s3://bucket/shards/", "shards.json")
    's3://bucket/shards/shards.json'
    """
    return f"{folder.rstrip('/')}/{name}"


def cache_folder() -> Path:
    """Where what is fetched may be kept: `speechgru` in the user's folder of caches.

    Raises:
        UserError: there is none.
    """
    return user_cache(instead=", or data.cache_folder where a corpus is read")


class Store:
    """A folder on an object store.

    Args:
        url: its address.

    Raises:
        UserError: the address names no place, or fsspec, or what it needs for this kind of store, is not installed.

    Example:
        >>> store = Store("memory://example/shards")
        >>> _ = Path("a.txt").write_text("one")
        >>> store.put(Path("a.txt"), "a.txt")
        >>> store.read("a.txt"), store.size("b.txt"), store.names("*.txt")
        (b'one', None, ['a.txt'])
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        require_place(url)
        self._kind = kind_of(url)
        self._is_bucket_known = False
        self._is_repository = scheme_of(url) == "hf" and not url.lower().startswith("hf://buckets/")
        try:
            import fsspec

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # Google's, of how long each Python will be supported
                self._files, self._path = fsspec.core.url_to_fs(self.url)
            _hush(scheme_of(url))
        except ImportError as error:
            raise UserError(
                f"{url}: a package for this kind of store is missing ({error}): {self._kind.install}"
            ) from error
        except ValueError as error:
            raise UserError(f"{url}: is no store that fsspec knows ({error})") from error
        except Exception as error:  # whatever a store's library raises
            raise UserError(f"{url}: cannot be reached ({_shown(error)}); {self._kind.rights}") from error

    def read(self, name: str) -> bytes:
        """The contents of a small file.

        Raises:
            FileNotFoundError: there is none.
            UserError: the store does not answer, or refuses.
        """
        return self._tried(name, lambda: self._files.cat_file(self._at(name)))

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none.

        Raises:
            UserError: the store does not answer, or refuses.
        """

        def ask() -> int:
            self._files.invalidate_cache()
            return int(self._files.info(self._at(name))["size"])

        try:
            return self._tried(name, ask)
        except FileNotFoundError:
            return None

    def sha256(self, name: str) -> str:
        """The SHA-256 of a file, read through without being kept.

        Raises:
            FileNotFoundError: there is none.
            UserError: the store does not answer, or refuses.
        """

        def read() -> str:
            digest = hashlib.sha256()
            with self._files.open(self._at(name), "rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
            return digest.hexdigest()

        return self._tried(name, read)

    def names(self, pattern: str) -> list[str]:
        """The files of the folder whose names fit a pattern, sorted.

        Raises:
            UserError: the store does not answer, or refuses.
        """

        def ask() -> list[str]:
            self._files.invalidate_cache()
            return [str(path).rpartition("/")[2] for path in self._files.ls(self._path, detail=False)]

        try:
            return sorted(fnmatch.filter(self._tried("", ask), pattern))
        except FileNotFoundError:
            return []

    def put(self, path: Path, name: str) -> None:
        """Writes a file there, in place of what has its name.

        Raises:
            UserError: the store does not answer, refuses, or has another size afterwards.
        """
        size = path.stat().st_size

        def write() -> None:
            if self._is_repository:
                self._commit(path, name)
            else:
                self._files.put_file(str(path), self._at(name))
            found = self._files.info(self._at(name))["size"]
            if found != size:
                raise OSError(f"{found:,} of {size:,} bytes arrived")

        try:
            self._tried(name, write)
        except FileNotFoundError as error:  # something that there is not, and is no bucket of a kind that we know
            raise UserError(
                f"{joined(self.url, name)}: cannot be written ({error}); make the {self._kind.place} first"
            ) from error

    def fetch(self, name: str, path: Path, *, size: int, sha256: str) -> None:
        """Copies a file to the disk, whole or not at all.

        Args:
            name: the file there.
            path: the file here.
            size: bytes that it must have.
            sha256: its checksum.

        Raises:
            CorpusError: it is missing, or has other bytes, also when it is fetched again.
            UserError: the store does not answer or refuses, or the disk is full.
        """

        def copy() -> None:
            with atomic_path(path) as temporary:
                self._files.get_file(self._at(name), str(temporary))
                found = temporary.stat().st_size
                if found != size:
                    raise OSError(f"has {found:,} bytes, not {size:,}")
                if sha256_of(temporary, most=ANY_SIZE) != sha256:
                    raise OSError("is damaged: its SHA-256 is wrong")

        try:
            self._tried(name, copy, error=CorpusError)
        except FileNotFoundError as error:
            raise CorpusError(f"{joined(self.url, name)}: no such file there; copy the shards again") from error

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    def _tried(self, name: str, action: Callable[[], _Result], *, error: type[UserError] = UserError) -> _Result:
        """An action's result, tried again where it fails for a reason that may pass.

        Raises:
            FileNotFoundError: the file is not there, and the bucket or repository is.
            UserError: that is not there either; or, of the given class, the store refuses or does not answer.
        """
        wait = _WAIT_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return action()
            except UserError:  # of ours: the disk here
                raise
            except Exception as reason:  # whatever a store's library raises
                missing = missing_place(reason)
                if missing is not None:
                    raise UserError(
                        f"{self.url}: the Hub has no such {missing}, or not for you; look at the name (a dataset's "
                        f"begins with hf://datasets/), and where it is private, {self._kind.rights}"
                    ) from reason
                if isinstance(reason, FileNotFoundError):
                    self._require_bucket()
                    raise
                if is_missing_file(reason):
                    raise FileNotFoundError(2, "no such file there", joined(self.url, name)) from reason
                if attempt == _ATTEMPTS or is_final(reason):
                    tries = f" after {attempt} attempts" if attempt > 1 else ""
                    advice = self._kind.rights if is_refusal(reason) else "look at the address and the network"
                    raise error(
                        f"{joined(self.url, name) if name else self.url}: the store answers{tries}: {_shown(reason)}; "
                        f"{advice}, and run the same command again"
                    ) from reason
            time.sleep(wait)
            wait *= 2
        raise AssertionError("not reached")

    def _require_bucket(self) -> None:
        """Where a file is missing: whether its bucket is there, asked once.

        Raises:
            UserError: it is not. Where one may not even ask, nothing is raised.
        """
        bucket = bucket_of(self.url)
        if bucket is None or self._is_bucket_known:
            return
        try:
            if scheme_of(self.url).startswith("s3"):
                self._files.info(bucket)
            else:  # who may read files need not be shown a bucket
                self._files.ls(bucket, max_results=1)
        except FileNotFoundError as error:
            raise UserError(f"{self.url}: there is no bucket {bucket!r}; make it first, or mend the address") from error
        except Exception:  # no rights to ask, no network: the file is what was asked for
            return
        self._is_bucket_known = True

    def _commit(self, path: Path, name: str) -> None:
        """Writes a file into a repository of the Hub, without the copy on the disk that its file system makes first."""
        from huggingface_hub import HfApi

        place = self._files.resolve_path(self._at(name))
        HfApi().upload_file(
            path_or_fileobj=str(path),
            path_in_repo=place.path_in_repo,
            repo_id=place.repo_id,
            repo_type=place.repo_type,
            revision=place.revision,
            commit_message=f"speechgru: {name}",
        )
        self._files.invalidate_cache()


def _hush(scheme: str) -> None:
    """Keeps a store's library from writing across our progress, and from telling what our messages tell."""
    if scheme == "hf":
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    elif scheme in ("gs", "gcs"):
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


def _shown(reason: Any) -> str:
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def remove_quietly(path: Path) -> None:
    """Removes a file that another process may have removed meanwhile."""
    with contextlib.suppress(OSError):
        path.unlink()
