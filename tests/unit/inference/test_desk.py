"""Who sits where: plans become seats, and what can't be loaded leaves who sat there."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from inference.errors import ModelUnusable, NotFound, Unavailable
from inference.manifest import ARTEFACT, MANIFEST
from inference.serving.desk import Desk, Plan, Post, Seat
from inference.serving.model import LoadedModel
from inference.serving.shelf import every, find
from tests.inference_models import READINGS, write_readings_model


def post(shelf: Path, version: str) -> Post:
    folder = shelf / READINGS / version
    if not folder.exists():
        write_readings_model(shelf, version)
    return Post(version, LoadedModel(folder).digest)


def follow(desk: Desk, plan: Plan) -> bool:
    return asyncio.run(desk.follow({READINGS: plan}))


def seated(desk: Desk) -> tuple[str, str | None, float]:
    seat = desk.seat(READINGS)
    challenger = None if seat.challenger is None else seat.challenger.manifest.version
    return seat.champion.manifest.version, challenger, seat.share


def test_plans_become_seats_and_an_unchanged_plan_changes_nothing(tmp_path: Path) -> None:
    desk = Desk([tmp_path])
    first, second = post(tmp_path, "v1"), post(tmp_path, "v2")
    assert follow(desk, Plan(first))
    seat = desk.seat(READINGS)
    assert not follow(desk, Plan(first))
    assert desk.seat(READINGS) is seat
    assert follow(desk, Plan(second, first, 0.25))
    assert seated(desk) == ("v2", "v1", 0.25)
    assert desk.seat(READINGS).challenger is seat.champion, "it is not loaded twice"
    assert follow(desk, Plan(second, first))
    assert desk.seat(READINGS).shadow is seat.champion
    assert follow(desk, Plan(None))
    assert not desk.seats


def test_a_model_without_a_champion_is_awaited_and_an_unknown_one_is_not_found(tmp_path: Path) -> None:
    desk = Desk([tmp_path], [READINGS])
    with pytest.raises(Unavailable) as refused:
        desk.seat(READINGS)
    assert refused.value.reason == "no_champion"
    with pytest.raises(NotFound) as unknown:
        desk.seat("another")
    assert unknown.value.reason == "no_such_model"
    asyncio.run(desk.follow({"another": Plan(None)}))
    with pytest.raises(Unavailable):
        desk.seat("another")


def test_who_can_not_be_loaded_leaves_the_champion_and_is_told(tmp_path: Path) -> None:
    desk = Desk([tmp_path])
    first, second = post(tmp_path, "v1"), post(tmp_path, "v2")
    follow(desk, Plan(first))
    (tmp_path / READINGS / "v2" / ARTEFACT).write_bytes(b"damaged")
    assert not follow(desk, Plan(second))
    assert seated(desk) == ("v1", None, 0.0)
    assert "is not the artefact" in desk.problems[READINGS]
    assert not follow(desk, Plan(Post("v9", "0" * 64)))
    assert "has waste-sensors/v9" in desk.problems[READINGS]
    assert not follow(desk, Plan(first))
    assert not desk.problems


def test_a_damaged_challenger_keeps_no_champion_from_its_seat(tmp_path: Path) -> None:
    desk = Desk([tmp_path])
    first, second = post(tmp_path, "v1"), post(tmp_path, "v2")
    follow(desk, Plan(first))
    missing = Post("v3", "0" * 64)
    assert follow(desk, Plan(second, missing, 0.5))
    assert seated(desk) == ("v2", None, 0.0)
    assert READINGS in desk.problems


def test_nobody_is_asked_without_a_share_and_everybody_with_all_of_it(tmp_path: Path) -> None:
    post(tmp_path, "v1")
    post(tmp_path, "v2")
    champion, challenger = (LoadedModel(tmp_path / READINGS / version) for version in ("v1", "v2"))
    keys = [f"t-{number}" for number in range(200)]
    assert {Seat(champion, challenger, 0.0).choose(key) for key in keys} == {champion}
    assert {Seat(champion, challenger, 1.0).choose(key) for key in keys} == {challenger}
    assert {Seat(champion).choose(key) for key in keys} == {champion}
    assert Seat(champion, challenger, 0.5).shadow is None


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../v1", "x" * 300, "\x00", "V1", "v1\n"])
def test_a_name_that_is_no_folders_is_not_looked_for(tmp_path: Path, name: str) -> None:
    write_readings_model(tmp_path, "v1")
    for model_id, version in ((name, "v1"), (READINGS, name)):
        with pytest.raises(ModelUnusable):
            find([tmp_path], model_id, version)


def test_the_first_shelf_that_has_a_version_wins(tmp_path: Path) -> None:
    made = [write_readings_model(tmp_path / name, version) for name, version in (("a", "v1"), ("b", "v1"))]
    made.append(write_readings_model(tmp_path / "b", "v2"))
    shelves = [tmp_path / "a", tmp_path / "none", tmp_path / "b"]
    assert find(shelves, READINGS, "v1") == made[0]
    assert find(shelves, READINGS, "v2") == made[2]
    assert list(every(shelves)) == made


@pytest.mark.parametrize("damaged", [ARTEFACT, MANIFEST])
def test_a_damaged_folder_hides_no_good_one_on_a_later_shelf(tmp_path: Path, damaged: str) -> None:
    shelves = [tmp_path / "a", tmp_path / "b"]
    first, second = (write_readings_model(shelf, "v1") for shelf in shelves)
    digest = LoadedModel(second).digest
    desk = Desk(shelves)
    assert follow(desk, Plan(Post("v1", digest)))
    assert desk.seat(READINGS).champion.folder == first
    (first / damaged).write_bytes(b"damaged")
    desk = Desk(shelves)
    assert follow(desk, Plan(Post("v1", digest)))
    assert desk.seat(READINGS).champion.folder == second
    (second / damaged).write_bytes(b"damaged")
    desk = Desk(shelves)
    assert not follow(desk, Plan(Post("v1", digest)))
    assert desk.problems


def test_a_folder_with_another_digest_hides_no_good_one_on_a_later_shelf(tmp_path: Path) -> None:
    shelves = [tmp_path / "a", tmp_path / "b"]
    other = write_readings_model(shelves[0], "v1", swap=True)
    good = write_readings_model(shelves[1], "v1")
    digest = LoadedModel(good).digest
    assert find(shelves, READINGS, "v1", digest) == good
    assert find(shelves, READINGS, "v1") == other
    desk = Desk(shelves)
    assert follow(desk, Plan(Post("v1", digest)))
    assert desk.seat(READINGS).champion.folder == good
    assert not follow(Desk(shelves), Plan(Post("v1", "0" * 64)))


def test_a_loaded_version_sits_under_no_other_name(tmp_path: Path) -> None:
    desk = Desk([tmp_path])
    first = post(tmp_path, "v1")
    assert follow(desk, Plan(first))
    shutil.copytree(tmp_path / READINGS / "v1", tmp_path / READINGS / "v9")
    shutil.copytree(tmp_path / READINGS, tmp_path / "another")
    follow(desk, Plan(Post("v9", first.digest)))
    assert seated(desk) == ("v1", None, 0.0)
    assert "waste-sensors/v9 is asked for, the manifest is of waste-sensors/v1" in desk.problems[READINGS]
    asyncio.run(desk.follow({READINGS: Plan(first), "another": Plan(first)}))
    assert list(desk.seats) == [READINGS]
    assert "another/v1 is asked for" in desk.problems["another"]


def test_who_is_unseated_does_not_go_on_if_nobody_else_can_be_loaded(tmp_path: Path) -> None:
    desk = Desk([tmp_path])
    first, missing = post(tmp_path, "v1"), Plan(Post("v9", "0" * 64))
    follow(desk, Plan(first))
    asyncio.run(desk.follow({READINGS: missing}))
    assert seated(desk) == ("v1", None, 0.0)
    asyncio.run(desk.follow({READINGS: missing}, {READINGS}))
    assert not desk.seats
    follow(desk, Plan(first))
    asyncio.run(desk.follow({}))
    assert not desk.seats
