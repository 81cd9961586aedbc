from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest

from inference.errors import BadInput
from inference.photos.sources import PhotoRules, PhotoSource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "day").mkdir(parents=True)
    (folder / "day" / "a b.jpg").write_bytes(b"photo")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "photos-of-others").mkdir()
    (tmp_path / "photos-of-others" / "a.jpg").write_bytes(b"secret")
    return folder


def fetch(rules: PhotoRules, url: str) -> bytes:
    async def run() -> bytes:
        async with PhotoSource(rules) as source:
            return await source.fetch(url)

    return asyncio.run(run())


def refused(rules: PhotoRules, url: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        fetch(rules, url)
    return caught.value


def test_a_file_below_a_root_is_read(root: Path) -> None:
    assert fetch(PhotoRules(roots=(root,)), f"file://{root}/day/a%20b.jpg") == b"photo"


def test_a_root_that_is_itself_a_link_admits_both_of_its_names(root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    for name in (root, linked):
        assert fetch(PhotoRules(roots=(linked,)), f"file://{name}/day/a%20b.jpg") == b"photo"


def test_a_link_that_stays_within_the_roots_is_followed(root: Path) -> None:
    (root / "latest.jpg").symlink_to(root / "day" / "a b.jpg")
    assert fetch(PhotoRules(roots=(root,)), f"file://{root}/latest.jpg") == b"photo"


@pytest.mark.parametrize("name", ["secret.jpg", "photos-of-others/a.jpg", "photos", "nothing.jpg"])
def test_a_path_outside_is_refused_alike_whether_or_not_there_is_a_file(root: Path, name: str) -> None:
    error = refused(PhotoRules(roots=(root,)), f"file://{root.parent}/{name}")
    assert error.reason == "path_outside_roots"
    assert str(error) == "the file's path is not below a folder that photos come from"


def test_without_roots_no_file_is_read(root: Path) -> None:
    assert refused(PhotoRules(), f"file://{root}/day/a%20b.jpg").reason == "path_outside_roots"


def test_a_link_out_is_refused_like_a_missing_file(root: Path) -> None:
    (root / "out.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "dangling.jpg").symlink_to(root.parent / "nothing.jpg")
    (root / "folder").symlink_to(root.parent)
    messages = set()
    for name in ("out.jpg", "dangling.jpg", "folder/secret.jpg", "folder/nothing.jpg", "missing.jpg"):
        error = refused(PhotoRules(roots=(root,)), f"file://{root}/{name}")
        assert error.reason == "photo_not_found"
        messages.add(str(error))
    assert len(messages) == 1


@pytest.mark.timeout(20)
def test_what_is_no_plain_file_is_refused_without_a_hang(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "s"))
    (root / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "s", "zero.jpg", "day", "day/a%20b.jpg/x", "x" * 300):
        assert refused(PhotoRules(roots=(root,)), f"file://{root}/{name}").reason == "photo_not_found", name
    listener.close()


def test_a_file_of_just_the_limit_is_read_and_one_byte_more_is_not(root: Path) -> None:
    rules = PhotoRules(roots=(root,), max_bytes=5)
    assert fetch(rules, f"file://{root}/day/a%20b.jpg") == b"photo"
    (root / "day" / "a b.jpg").write_bytes(b"photos")
    assert refused(rules, f"file://{root}/day/a%20b.jpg").reason == "photo_too_large"


def test_a_file_that_does_not_tell_its_size_is_still_bounded() -> None:
    rules = PhotoRules(roots=(Path("/proc/self"),), max_bytes=1)
    real = Path("/proc/self").resolve()
    assert refused(rules, f"file://{real}/maps").reason == "photo_too_large"


def test_a_link_that_changes_all_the_time_never_lets_anything_out(root: Path) -> None:
    swapped, stop = root / "swapped.jpg", threading.Event()

    def swap() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            other = root / f"new{number % 2}"
            other.unlink(missing_ok=True)
            other.symlink_to(root.parent / "secret.jpg" if number % 2 else root / "day" / "a b.jpg")
            other.rename(swapped)

    swapping = threading.Thread(target=swap)
    swapping.start()

    async def run() -> set[bytes]:
        seen: set[bytes] = set()
        number = 0
        async with PhotoSource(PhotoRules(roots=(root,))) as source:
            while number < 300 or len(seen) < 2:
                number += 1
                try:
                    seen.add(await source.fetch(f"file://{swapped}"))
                except BadInput as error:
                    seen.add(error.reason.encode())
        return seen

    try:
        seen = asyncio.run(run())
    finally:
        stop.set()
        swapping.join()
    assert seen == {b"photo", b"photo_not_found"}
