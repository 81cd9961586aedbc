from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from tally.embedded import debian_root, programs
from tally.embedded.programs import Programs, local_binaries
from tally.errors import MissingPrograms, TallyError


def make_postgresql(debian: Path, major: int, *, timescaledb: bool) -> Path:
    """The files that tell a PostgreSQL with TimescaleDB from one without."""
    folder = debian / str(major)
    for part in ("bin", "lib", "share/extension"):
        (folder / part).mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / "bin" / name).touch()
    answer = f"#!/bin/sh\nprintf '%s\\n' 'PostgreSQL {major}.2 (Debian)' {folder}/lib {folder}/share\n"
    (folder / "bin" / "pg_config").write_text(answer)
    (folder / "bin" / "pg_config").chmod(0o755)
    if timescaledb:
        (folder / "lib" / "timescaledb.so").touch()
        (folder / "share/extension/timescaledb.control").touch()
    return folder / "bin"


def test_the_newest_local_postgresql_that_has_timescaledb_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert local_binaries(tmp_path) is None
    make_postgresql(tmp_path, 9, timescaledb=True)
    assert local_binaries(tmp_path) is None, "too old"
    make_postgresql(tmp_path, 18, timescaledb=False)
    sixteen = make_postgresql(tmp_path, 16, timescaledb=True)
    assert local_binaries(tmp_path) == sixteen
    seventeen = make_postgresql(tmp_path, 17, timescaledb=True)
    assert local_binaries(tmp_path) == seventeen


def test_a_sandbox_never_sees_the_hosts_devices_and_processes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\npostgres:x:101:103::/:/bin/sh\n")
    line = Programs(Path("/usr/bin"), root, sandboxed=True).command(["/usr/bin/true"], writable=[tmp_path])
    bound = [line[i + 1] for i, word in enumerate(line) if word in {"--bind", "--ro-bind", "--dev-bind"}]
    assert bound == [str(root / "usr"), str(root / "etc"), str(tmp_path)]
    assert line[line.index("--dev") + 1] == "/dev"
    assert line[line.index("--proc") + 1] == "/proc"
    assert line[line.index("--uid") + 1] == "101"
    assert "--die-with-parent" in line


def test_missing_tools_are_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPrograms, match=r"apt-get install mmdebstrap bubblewrap.*TALLY_DATABASE_URL"):
        debian_root.ensure_root(tmp_path / "cache", lambda _line: None)


def test_two_builders_at_once_make_one_root_and_remove_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = debian_root.root_path(tmp_path)
    killed = root.with_name(f"{root.name}.building-0123")
    (killed / "usr").mkdir(parents=True)
    built: list[Path] = []

    def build(target: Path, _log: Path) -> None:
        built.append(target)
        (target / "usr").mkdir()

    monkeypatch.setattr(debian_root, "_build", build)
    monkeypatch.setattr(debian_root, "_check_tools", lambda: None)
    threads = [
        threading.Thread(target=debian_root.ensure_root, args=(tmp_path, lambda _line: None))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert (root / "usr").is_dir()
    assert [path for path in root.parent.iterdir() if "building" in path.name] == []


def test_a_failed_build_leaves_no_root_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("tar", "rm", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name in ("bwrap", "newuidmap", "mmdebstrap", "unshare"):
        (tools / name).write_text(
            "#!/bin/sh\necho 'I: working' >&2\necho 'E: no package server' >&2\nexit 1\n"
        )
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(TallyError, match=r"no package server \(log: "):
        debian_root.ensure_root(tmp_path / "cache", lambda _line: None)
    assert not debian_root.root_path(tmp_path / "cache").exists()
    assert [path.suffix for path in (tmp_path / "cache/roots").iterdir() if path.is_dir()] == []


def test_where_sandboxes_are_forbidden_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").touch()
    with pytest.raises(MissingPrograms, match=r"No permissions.*user namespaces.*TALLY_DATABASE_URL"):
        programs._that_work(Programs(Path("/usr/bin"), tmp_path, sandboxed=True))
