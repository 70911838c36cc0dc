"""Files as others write them, and ours, which a crash leaves as they were or as they shall be.

`places` says where something may be written, before anything long is done:

>>> require_file_place("notes/a.txt")
>>> require_folder_place("notes")
>>> require_page_place("notes/a.html")
>>> user_cache(instead="").name
'speechgru'

`writing` replaces a file whole, `claims` watches over what is being written, `reading` reads it:

>>> with room_for("notes/a.txt"), unfinished():
...     write_text("notes/a.txt", "one")
...     write_json("notes/a.json", {"one": 1})
>>> with atomic_path("notes/b.txt") as temporary:
...     _ = temporary.write_bytes(read_file("notes/a.txt"))
>>> is_writing(), sha256_of("notes/a.txt") == sha256_of("notes/b.txt"), for_soundfile("b.wav")
(False, True, b'b.wav')
>>> with open_log("notes/log.txt") as log:
...     _ = log.write(b"a line")
>>> sync_folder("notes")

`folders` does the same with a folder:

>>> with atomic_folder("notes") as made, temporary_folder(".", "work") as work:
...     write_text(work / "c.txt", "of no use")
...     write_text(made / "c.txt", "all that there is")
>>> restore_folder("notes")  # a killed process's, if one was in the way
>>> from pathlib import Path
>>> [path.name for path in Path("notes").iterdir()]
['c.txt']
>>> identity_of("notes") == identity_of("./notes"), identity_of("nowhere")
(True, None)
>>> with held("notes"):
...     make_folder("notes/deeper")
...     before = folders_above("notes/deeper/.lock")  # for a lock's library, which makes what is gone
...     take_back("notes/deeper/.lock", before)  # nothing is
>>> with held_alone("notes", activity="writes here", advice="wait for it"):
...     make_folder("notes/deeper")
>>> with held("notes", is_same=lambda: False):
...     make_folder("notes/deeper")
Traceback (most recent call last):
speechgru.errors.DiskError: ...: is gone, moved or removed while this command worked there; ...
"""

from speechgru.files.claims import (
    folders_above,
    held,
    held_alone,
    identity_of,
    is_writing,
    make_folder,
    room_for,
    take_back,
    unfinished,
)
from speechgru.files.folders import atomic_folder, restore_folder, temporary_folder
from speechgru.files.places import (
    require_file_place,
    require_folder_place,
    require_nothing_else,
    require_own_folder,
    require_page_place,
    require_unread,
    user_cache,
)
from speechgru.files.reading import (
    ANY_SIZE,
    MOST_BYTES,
    describe_undecodable,
    for_soundfile,
    open_file,
    read_file,
    read_text,
    sha256_of,
    split_lines,
)
from speechgru.files.writing import atomic_path, encode_json, open_log, sync_folder, write_json, write_text

__all__ = [
    "ANY_SIZE",
    "MOST_BYTES",
    "atomic_folder",
    "atomic_path",
    "describe_undecodable",
    "encode_json",
    "folders_above",
    "for_soundfile",
    "held",
    "held_alone",
    "identity_of",
    "is_writing",
    "make_folder",
    "open_file",
    "open_log",
    "read_file",
    "read_text",
    "require_file_place",
    "require_folder_place",
    "require_nothing_else",
    "require_own_folder",
    "require_page_place",
    "require_unread",
    "restore_folder",
    "room_for",
    "sha256_of",
    "split_lines",
    "sync_folder",
    "take_back",
    "temporary_folder",
    "unfinished",
    "user_cache",
    "write_json",
    "write_text",
]
