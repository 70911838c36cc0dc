"""What each kind of object store is reached by, and says when it refuses: `s3://`, `gs://` and `hf://`.

fsspec's libraries raise errors of their own, each in its way. Here an error becomes a status of HTTP, a reason that
stays or passes, and a sentence that says what to do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from speechgru.errors import UserError

#: Statuses of a server that another attempt may change: it waits, is asked too often, or others write just now.
_PASSING = frozenset({408, 409, 412, 425, 429})
#: What an error's class is called, in any library, where credentials are missing or wrong.
_REFUSALS = ("Credentials", "AccessDenied", "Forbidden", "Auth", "Gated", "Permission")
#: What no second attempt changes, such as an address that a library cannot read.
_FINAL = (PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Kind:
    """A kind of store.

    Args:
        install: what brings its library.
        place: what an address names first.
        rights: what to do where it refuses.
    """

    install: str
    place: str
    rights: str


_S3 = Kind(
    "pip install 'speechgru[stores]'",
    "bucket",
    "s3fs takes AWS_PROFILE, AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or the machine's role: look which it finds, "
    "and what that may do there",
)
_GS = Kind(
    "pip install 'speechgru[gs]'",
    "bucket",
    "gcsfs takes GOOGLE_APPLICATION_CREDENTIALS, what `gcloud auth application-default login` wrote, or the machine's "
    "account: look which it finds, and what that may do there",
)
_HF = Kind(
    "pip install 'speechgru[hf]'",
    "repository",
    "put a token that may do this into the variable HF_TOKEN, or run `hf auth login`; a gated repository first wants "
    "its conditions accepted on its page",
)
_KINDS = {"s3": _S3, "s3a": _S3, "gs": _GS, "gcs": _GS, "hf": _HF}
_OTHER = Kind(
    "install the package that fsspec names", "place", "look at your rights there, and what its library takes them from"
)


def scheme_of(url: str) -> str:
    """The beginning of an address.

    >>> scheme_of("GS://bucket/shards")
    'gs'
    """
    return url.partition("://")[0].lower()


def kind_of(url: str) -> Kind:
    """The kind of store that an address lies on.

    >>> kind_of("gs://bucket/shards").install
    "pip install 'speechgru[gs]'"
    """
    return _KINDS.get(scheme_of(url), _OTHER)


def require_place(url: str) -> None:
    """Refuses an address that names no place in which files could lie.

    Raises:
        UserError: it has no bucket, or no repository of somebody.

    >>> require_place("hf://datasets/ann/corpus@main/shards")
    >>> require_place("hf://datasets/corpus")
    Traceback (most recent call last):
    speechgru.errors.UserError: hf://datasets/corpus: names no repository; write hf://datasets/USER/NAME/FOLDER, a \
revision behind the name as NAME@main
    """
    names = [name for name in url.partition("://")[2].split("/") if name]
    if scheme_of(url) == "hf":
        owned = names[1:] if names[:1] in (["datasets"], ["spaces"], ["buckets"]) else names
        if len(owned) < 2 or owned[1].startswith("@"):
            raise UserError(
                f"{url}: names no repository; write hf://datasets/USER/NAME/FOLDER, a revision behind the name as "
                "NAME@main"
            )
    elif not names or bucket_of(url) == "":
        raise UserError(f"{url}: names no place; write a bucket and a folder, such as s3://bucket/shards")


def bucket_of(url: str) -> str | None:
    """The bucket of an address of a kind that has buckets, which are there or not before any file is.

    >>> bucket_of("s3://bucket/shards/big"), bucket_of("hf://datasets/ann/corpus"), bucket_of("memory://a/b")
    ('bucket', None, None)
    """
    return url.partition("://")[2].split("/")[0] if kind_of(url).place == "bucket" else None


def is_final(reason: Exception) -> bool:
    """Whether another attempt would end alike: a wrong address, no rights, no credentials."""
    if isinstance(reason, json.JSONDecodeError):  # an answer that was cut
        return False
    status = _status_of(reason)
    if status is not None:
        return 400 <= status < 500 and status not in _PASSING
    return isinstance(reason, _FINAL) or is_refusal(reason) or "Offline" in type(reason).__name__


def is_refusal(reason: Exception) -> bool:
    """Whether a store says that one may not do this, or does not know who asks."""
    return (
        _status_of(reason) in (401, 403)
        or any(word in type(reason).__name__ for word in _REFUSALS)
        or str(reason).startswith("Forbidden")  # gcsfs
    )


def missing_place(reason: BaseException | None) -> str | None:
    """What a Hub says it lacks before any file: `repository` or `revision`; None where that is not the reason."""
    while reason is not None:
        name = type(reason).__name__
        if name in ("RepositoryNotFoundError", "BucketNotFoundError", "HFValidationError"):
            return "repository"
        if name == "RevisionNotFoundError":
            return "revision"
        reason = reason.__cause__
    return None


def is_missing_file(reason: Exception) -> bool:
    """Whether a Hub says that a file is not there, which its library does not raise as `FileNotFoundError`."""
    return type(reason).__name__ in ("EntryNotFoundError", "RemoteEntryNotFoundError")


def _status_of(reason: Exception) -> int | None:
    """The status of HTTP that an error tells of, whichever library raised it."""
    response: Any = getattr(reason, "response", None)
    for found in (
        getattr(response, "status_code", None),  # huggingface_hub, requests
        getattr(reason, "status", None),  # aiohttp
        getattr(reason, "code", None),  # gcsfs
    ):
        if isinstance(found, int) or (isinstance(found, str) and found.isdigit()):
            return int(found)
    return None
