"""The example of an annotation backend, used as a browser would: images, label maps, selections, history."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.examples.annotations import (
    OTHER_PHOTO,
    PHOTO,
    Answer,
    Backend,
    mask_of,
    running_backend,
    running_postgresql,
    selection_of,
)
from tests.service.harness import RunningServer, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def backend(
    request: pytest.FixtureRequest, server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('database')}/annotations.db"
        with running_backend(url, server.listen) as running:
            yield running
    else:
        with running_postgresql() as database, running_backend(database.url, server.listen) as running:
            yield running


def pixels(answer: Answer) -> object:
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.body))).tolist()


def versions(answer: Answer) -> list[tuple[int, int | None, str]]:
    """Version, the version it restores, and its author."""
    return [(one["version"], one["restoredFrom"], one["author"]) for one in answer.json["versions"]]


def test_an_image_is_stored_with_its_label_map_and_its_selection(backend: Backend) -> None:
    answer = backend.upload(name="caf%C3%A9.jpg")
    assert answer.status == 201
    facts = answer.json
    assert {name: facts[name] for name in ("name", "version", "width", "height", "superpixels")} == {
        "name": "café.jpg",
        "version": 1,
        "width": 451,
        "height": 300,
        "superpixels": 2114,
    }
    path = answer.headers["location"]
    assert backend.call("GET", path).json == facts
    file = backend.call("GET", f"{path}/file")
    assert (file.status, file.headers["content-type"], file.body) == (200, "image/jpeg", PHOTO)
    label_map = backend.label_map(path)
    assert label_map.labels.shape == (300, 451)

    assert backend.call("GET", f"{path}/mask").status == 404
    selection = selection_of(label_map)
    saved = backend.save(path, selection, 0)
    assert (saved.status, saved.headers["etag"]) == (201, '"1"')
    read = backend.call("GET", f"{path}/selection")
    assert (read.json, read.headers["etag"]) == (selection, '"1"')
    assert pixels(backend.call("GET", f"{path}/mask")) == mask_of(label_map).tolist()


def test_bytes_that_the_caller_already_has_are_not_sent_again(backend: Backend) -> None:
    path = backend.add_image()
    for part in ("file", "map"):
        tag = backend.call("GET", f"{path}/{part}").headers["etag"]
        again = backend.call("GET", f"{path}/{part}", if_none_match=tag)
        assert (again.status, again.body) == (304, b"")


def test_two_images_of_the_same_name_do_not_touch_each_other(backend: Backend) -> None:
    first = backend.add_image(PHOTO, "same.jpg")
    label_map = backend.label_map(first)
    assert backend.save(first, selection_of(label_map), 0).status == 201
    second = backend.add_image(OTHER_PHOTO, "same.jpg")
    assert backend.call("GET", f"{second}/mask").status == 404
    assert pixels(backend.call("GET", f"{first}/mask")) == mask_of(label_map).tolist()
    listed = backend.call("GET", "/images?name=same.jpg").json["images"]
    assert [f"/images/{image['id']}" for image in listed] == [first, second]


def test_images_are_listed_page_by_page(backend: Backend) -> None:
    paths = [backend.add_image(name="page.jpg") for _ in range(3)]
    start = backend.call("GET", "/images?name=page.jpg&limit=2").json["images"]
    rest = backend.call("GET", f"/images?name=page.jpg&after={start[-1]['id']}").json["images"]
    assert [f"/images/{image['id']}" for image in start + rest] == paths


def test_every_selection_stays_readable_and_can_be_restored(backend: Backend) -> None:
    path = backend.add_image()
    label_map = backend.label_map(path)
    assert backend.save(path, selection_of(label_map, 5, 10), 0, "ann").status == 201
    assert backend.save(path, selection_of(label_map, 20, 30), 1, "bob").status == 200
    restore = backend.call("POST", f"{path}/selection/restore?version=1&author=eve", None, if_match='"2"')
    assert (restore.status, restore.headers["etag"]) == (200, '"3"')
    assert backend.call("GET", f"{path}/selection").json == selection_of(label_map, 5, 10)
    assert backend.call("GET", f"{path}/selection?version=2").json == selection_of(label_map, 20, 30)
    assert pixels(backend.call("GET", f"{path}/mask?version=2")) == mask_of(label_map, 20, 30).tolist()
    history = backend.call("GET", f"{path}/selection/versions")
    assert versions(history) == [(3, 1, "eve"), (2, None, "bob"), (1, None, "ann")]
    earlier = backend.call("GET", f"{path}/selection/versions?before=3&limit=1")
    assert versions(earlier) == [(2, None, "bob")]
    assert backend.call("GET", f"{path}/selection?version=4").status == 404
    assert backend.call("POST", f"{path}/selection/restore?version=9", None, if_match='"3"').status == 404


def test_every_version_of_an_image_stays_readable_and_can_be_restored(backend: Backend) -> None:
    path = backend.add_image()
    replaced = backend.replace(path, OTHER_PHOTO, 1)
    assert (replaced.status, replaced.headers["etag"], replaced.json["width"]) == (200, '"2"', 600)
    assert backend.call("GET", f"{path}/file").body == OTHER_PHOTO
    assert backend.call("GET", f"{path}/file?version=1").body == PHOTO
    assert backend.call("POST", f"{path}/restore?version=1", None, if_match='"2"').status == 200
    assert backend.call("GET", f"{path}/file").body == PHOTO
    assert versions(backend.call("GET", f"{path}/versions")) == [(3, 1, ""), (2, None, ""), (1, None, "")]


def test_a_selection_is_never_drawn_on_another_map(backend: Backend) -> None:
    path = backend.add_image()
    old_map = backend.label_map(path)
    assert backend.save(path, selection_of(old_map), 0).status == 201
    assert backend.replace(path, OTHER_PHOTO, 1).status == 200

    for part in ("selection", "mask"):
        answer = backend.call("GET", f"{path}/{part}")
        assert (answer.status, answer.problem["selectionVersion"]) == (409, 1)
        assert answer.headers["etag"] == '"1"'
    assert pixels(backend.call("GET", f"{path}/mask?version=1")) == mask_of(old_map).tolist()
    assert backend.save(path, selection_of(old_map), 1).status == 409
    new_map = backend.label_map(path)
    assert backend.save(path, selection_of(new_map), 1).status == 200
    assert backend.call("POST", f"{path}/selection/restore?version=1", None, if_match='"2"').status == 409

    assert backend.call("POST", f"{path}/restore?version=1", None, if_match='"2"').status == 200
    assert backend.call("POST", f"{path}/selection/restore?version=1", None, if_match='"2"').status == 200
    assert pixels(backend.call("GET", f"{path}/mask")) == mask_of(old_map).tolist()


def test_a_save_needs_the_version_that_its_author_saw(backend: Backend) -> None:
    path = backend.add_image()
    label_map = backend.label_map(path)
    body = json.dumps(selection_of(label_map)).encode()
    saves = {
        "PUT selection": ("PUT", f"{path}/selection", body, "application/json"),
        "PUT image": ("PUT", path, PHOTO, "image/jpeg"),
        "restore": ("POST", f"{path}/restore?version=1", b"", ""),
        "restore selection": ("POST", f"{path}/selection/restore?version=1", b"", ""),
    }
    for name, (method, where, content, kind) in saves.items():
        assert backend.call(method, where, content, content_type=kind).status == 428, name
        for tag in ("2", 'W/"1"', "*", '"x"', '"1", "2"', '"99999999999"'):
            answer = backend.call(method, where, content, content_type=kind, if_match=tag)
            assert (answer.status, "If-Match" in answer.problem["detail"]) == (400, True), (name, tag)
        stale = backend.call(method, where, content, content_type=kind, if_match='"7"')
        assert stale.status == 412, name
        assert stale.problem["currentVersion"] == (0 if "selection" in name else 1)
    assert backend.call("GET", path).json["version"] == 1
    assert backend.save(path, body, 0).status == 201
    again = backend.save(path, body, 0)
    assert (again.status, again.headers["etag"], again.problem["currentVersion"]) == (412, '"1"', 1)


def test_of_concurrent_saves_one_succeeds_and_the_others_get_412(backend: Backend) -> None:
    path = backend.add_image()
    label_map = backend.label_map(path)
    assert backend.save(path, selection_of(label_map), 0).status == 201
    with ThreadPoolExecutor(8) as labellers:
        for seen in range(1, 4):
            tries = [
                labellers.submit(
                    backend.save, path, selection_of(label_map, 10 * number + 1), seen, f"n{number}"
                )
                for number in range(8)
            ]
            answers = [one.result() for one in tries]
            assert sorted(answer.status for answer in answers) == [200] + 7 * [412]
            (winner,) = (number for number, answer in enumerate(answers) if answer.status == 200)
            assert backend.call("GET", f"{path}/selection").json == selection_of(label_map, 10 * winner + 1)
    history = versions(backend.call("GET", f"{path}/selection/versions"))
    assert [version for version, _, _ in history] == [4, 3, 2, 1]
