from __future__ import annotations

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tally.errors import PortTaken
from tally.files import remove_tree, secret, try_lock, write_atomically
from tally.ports import check_free, free_port


def test_a_file_is_replaced_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    write_atomically(path, "new", mode=0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_private_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "role.password"
    first = secret(path)
    assert len(first) == 32
    assert secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_callers_at_once_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: secret(tmp_path / "s" / "one"), range(64)))
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["one"]


def test_a_lock_is_held_until_the_last_copy_of_its_descriptor_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = try_lock(path)
    assert first is not None
    copy = os.dup(first)
    os.close(first)
    assert try_lock(path) is None
    os.close(copy)
    again = try_lock(path)
    assert again is not None
    os.close(again)


def test_removing_a_tree_does_not_follow_links_out_of_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    remove_tree(tree)
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()


def test_a_free_port_is_kept_for_a_server_that_names_it() -> None:
    port = free_port()
    with socket.socket() as somebody, pytest.raises(OSError, match="in use"):
        somebody.bind(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_taken_port_is_named_with_its_variable() -> None:
    port = free_port()
    check_free(port, "TALLY_DB_PORT")
    complaint = rf"port {port} .*pid {os.getpid()}.*TALLY_DB_PORT"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=complaint):
        check_free(port, "TALLY_DB_PORT")
    check_free(port, "TALLY_DB_PORT")
