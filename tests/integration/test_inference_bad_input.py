"""Bad input: a reason and a sentence, nothing recorded, nothing stuck."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.inference_models import (
    METAL,
    PHOTOS,
    READINGS,
    SHADES,
    photo,
)
from tests.integration.inference_service import Service, reason


def forged_png(width: int, height: int) -> bytes:
    """A small file whose header promises that many pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_bad_photos_are_refused_and_leave_nothing_behind(service: Service) -> None:
    good = photo(SHADES["metal"], side=200)
    before = service.recorded()
    sparse = service.process.photos_dir / "sparse.jpg"
    with sparse.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(200 << 20)
    host = f"http://{service.photo_host}"
    for url, expected in {
        service.photo(b"neither this nor that"): "not_a_photo",
        service.photo(b""): "not_a_photo",
        service.photo(good[: len(good) // 2]): "photo_truncated",
        service.photo(photo(9, kind="JPEG", side=200)[:-30]): "photo_truncated",
        service.photo(forged_png(50_000, 50_000)): "too_many_pixels",
        service.photo(forged_png(4_000, 4_000)): "photo_truncated",
        sparse.as_uri(): "photo_too_large",
        f"{host}/endless": "photo_too_large",
        f"{host}/away": "redirect_refused",
        "ftp://127.0.0.1/photo.jpg": "url_scheme",
        "gopher:photo": "url_scheme",
        "data:image/png;base64,AAAA": "url_scheme",
        "http://127.0.0.1:1/photo.jpg": "host_not_allowed",
        "http://photos.example/photo.jpg": "host_not_allowed",
        "s3://bucket/photo.jpg": "bucket_not_allowed",
        "file:///etc/passwd": "path_outside_roots",
        service.process.photos_dir.as_uri() + "/../../etc/passwd": "url_malformed",
        service.process.photos_dir.as_uri() + "/none.jpg": "photo_not_found",
    }.items():
        answer = service.ask(image_url=url)
        assert (answer.status_code, reason(answer)) == (422, expected), (url, answer.text)
    assert service.recorded() == before
    started = time.monotonic()
    assert service.ask(image_url=f"{host}/good").json()["prediction"] == "metal"
    assert time.monotonic() - started < 1


def test_a_host_that_hangs_is_given_up_and_holds_nobody_else(service: Service) -> None:
    before = service.recorded()
    body = {"sensor_id": "rvm-1", "image_url": f"http://{service.photo_host}/hangs"}
    good = {"sensor_id": "rvm-1", "image_url": service.photo(photo(SHADES["metal"]))}

    async def ask() -> tuple[list[httpx.Response], float]:
        async with httpx.AsyncClient(
            base_url=service.process.http_url, headers=service.process.headers(), timeout=30
        ) as client:
            hanging = [asyncio.create_task(client.post("/predict", json=body)) for _ in range(8)]
            await asyncio.sleep(0.3)
            started = time.monotonic()
            answer = await client.post("/predict", json=good)
            took = time.monotonic() - started
            assert answer.json()["prediction"] == "metal"
            return list(await asyncio.gather(*hanging)), took

    refused, took = asyncio.run(ask())
    told = {(answer.status_code, reason(answer)) for answer in refused}
    assert (422, "host_timeout") in told
    assert told <= {(422, "host_timeout"), (503, "busy")}
    assert took < 1, "others wait for a host that hangs"
    assert service.recorded() == before + 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"readings": {"mass_g": 20.0, "lid": "no"}}, "missing_reading"),
        ({"readings": {**METAL, "nir": None}}, "missing_reading"),
        ({"readings": {**METAL, "nir": 1.5}}, "out_of_bounds"),
        ({"readings": {**METAL, "nir": -1e300}}, "out_of_bounds"),
        ({"readings": {**METAL, "mass_g": 10**400}}, "out_of_bounds"),
        ({"readings": {**METAL, "nir": "much"}}, "not_a_number"),
        ({"readings": {**METAL, "nir": True}}, "invalid_request"),
        ({"readings": {**METAL, "nir": [1]}}, "invalid_request"),
        ({"readings": {**METAL, "lid": "perhaps"}}, "unknown_value"),
        ({"readings": {**METAL, "depth": 1}}, "unknown_reading"),
        ({"readings": {}}, "missing_reading"),
        ({"readings": dict(METAL), "sensor_id": "nobody"}, "unknown_sensor"),
        ({"readings": dict(METAL), "sensor_id": " \u3000"}, "unknown_sensor"),
        ({"readings": dict(METAL), "sensor_id": ""}, "invalid_request"),
        ({"readings": dict(METAL), "sensor_id": "rvm-\x00"}, "invalid_request"),
        ({"readings": dict(METAL), "sensor_id": "rvm-" + "x" * 300}, "invalid_request"),
        ({"readings": dict(METAL), "sensor_id": 7}, "invalid_request"),
        ({"readings": dict(METAL), "model": PHOTOS}, "wrong_input"),
        ({"image_url": "file:///x", "model": READINGS}, "wrong_input"),
        ({"readings": dict(METAL), "model": "../../etc"}, "invalid_request"),
        ({"readings": dict(METAL), "image_url": "file:///x"}, "path_outside_roots"),
        ({}, "invalid_request"),
        ({"readings": dict(METAL), "observed_at": "2026-03-02T10:30:00"}, "invalid_request"),
        ({"readings": dict(METAL), "observed_at": "1999-12-31T23:59:59Z"}, "invalid_request"),
        ({"readings": dict(METAL), "observed_at": "0001-01-01T00:00:00+23:59"}, "invalid_request"),
        ({"readings": dict(METAL), "observed_at": "2999-01-01T00:00:00Z"}, "invalid_request"),
        ({"readings": dict(METAL), "observed_at": 1e18}, "invalid_request"),
        ({"readings": dict(METAL), "observed_at": 1772447400}, "invalid_request"),
        ({"readings": dict(METAL), "surprise": 1}, "invalid_request"),
    ],
)
def test_a_bad_item_is_refused(service: Service, body: dict[str, Any], expected: str) -> None:
    answer = service.client.post("/predict", json={"sensor_id": "rvm-1", **body})
    assert (answer.status_code, reason(answer)) == (422, expected), answer.text


GOOD = b'{"sensor_id": "rvm-1", "readings": {"mass_g": 20, "nir": 0.9}}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (GOOD.replace(b"0.9", b"NaN"), "not_finite"),
        (GOOD.replace(b"0.9", b"1e999"), "not_finite"),
        (GOOD.replace(b"0.9", b"-Infinity"), "not_finite"),
        (GOOD.replace(b"0.9", b"1" * 5000), "invalid_request"),
        (GOOD.replace(b"rvm-1", b"rvm-\\ud800"), "invalid_request"),
        (GOOD.replace(b"nir", b"\\udfff"), "invalid_request"),
        (GOOD.replace(b'"readings"', b'"\\ud800"'), "invalid_request"),
        (GOOD.replace(b"rvm-1", b"rvm-\xff"), "invalid_request"),
        (GOOD[:-1], "invalid_request"),
        (b"", "invalid_request"),
        (b"null", "invalid_request"),
        (b"[]", "invalid_request"),
        (b"7", "invalid_request"),
        (b"\xff\xfe\x00", "invalid_request"),
        (b"[" * 200_000, "invalid_request"),
        (b'{"a":' * 100_000, "invalid_request"),
    ],
    ids=lambda value: repr(value)[:40],
)
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_body_that_is_no_good_json_is_refused(
    service: Service, path: str, body: bytes, expected: str
) -> None:
    if path == "/predict/batch" and expected == "not_finite":
        body = b'{"items": [' + body + b"]}"
        answer = service.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert [one["error"]["reason"] for one in answer.json()["results"]] == ["not_finite"]
        return
    answer = service.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, reason(answer)) == (422, expected), answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/jpeg", ""])
def test_a_body_of_another_type_is_refused(service: Service, kind: str) -> None:
    answer = service.client.post("/predict", content=GOOD, headers={"Content-Type": kind})
    assert (answer.status_code, reason(answer)) == (422, "invalid_request")


def test_a_body_that_is_too_large_is_refused_declared_or_not(service: Service) -> None:
    large = b" " * ((4 << 20) + 1)
    answer = service.client.post("/predict", content=large, headers={"Content-Type": "application/json"})
    assert (answer.status_code, reason(answer)) == (413, "body_too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield large[: 1 << 20]

    answer = service.client.post("/predict", content=chunks(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, reason(answer)) == (413, "body_too_large")


def test_requests_that_are_no_http_leave_the_service_well(service: Service) -> None:
    address = ("127.0.0.1", service.process.http_port)
    for text in (
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //[::/model/info?model=%ff%00 HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /ready HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    ):
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(text)
            connection.settimeout(0.3)
            try:
                head = connection.recv(4096)
            except TimeoutError:
                head = b""
        assert b" 500 " not in head.split(b"\r\n")[0], (text, head)
    assert service.client.get("/health").text == "ok\n"
    assert "Traceback" not in service.process.log


def test_nothing_at_a_path_and_the_wrong_method_have_a_reason(service: Service) -> None:
    answer = service.client.get("/nothing")
    assert (answer.status_code, reason(answer)) == (404, "no_such_path")
    answer = service.client.get("/predict")
    assert (answer.status_code, reason(answer), answer.headers["Allow"]) == (405, "wrong_method", "POST")


def test_a_model_that_the_ledger_does_not_know_is_not_found(service: Service) -> None:
    answer = service.client.get("/model/info", params={"model": "nonesuch"})
    assert (answer.status_code, reason(answer)) == (404, "no_such_model")
    answer = service.ask(readings=dict(METAL), model="nonesuch")
    assert (answer.status_code, reason(answer)) == (404, "no_such_model")


def test_a_refused_item_is_counted_once(service: Service) -> None:
    def counted() -> float:
        line = 'tally_inference_errors_total{reason="unknown_value"} '
        return sum(
            float(text.removeprefix(line))
            for text in service.client.get("/metrics").text.splitlines()
            if text.startswith(line)
        )

    before = counted()
    service.ask(readings={**METAL, "lid": "perhaps"})
    assert counted() == before + 1
    item = {"sensor_id": "rvm-1", "readings": {**METAL, "lid": "perhaps"}}
    service.client.post("/predict/batch", json={"items": [item, item]})
    assert counted() == before + 3
