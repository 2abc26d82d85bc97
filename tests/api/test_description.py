"""The HTTP API agrees with its own OpenAPI description.

schemathesis makes requests from the description, right and wrong ones, and checks each answer: no server
error, a documented status and content type, a body of its schema, wrong data and other methods rejected.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from superpixel_service.api.openapi import describe
from tests.api.conftest import IMAGE, PIXELS, Api
from tests.service.images import encoded

HERE = Path(__file__).parent


def check(api: Api, folder: Path, *arguments: str) -> None:
    """Run schemathesis against the API."""
    kept = api.segment("counts=200&keep=true").headers["superpixel-map"]
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(HERE / "schemathesis.toml"),
        "run",
    ]
    command += [f"{api.address}/v1/openapi.json", "--checks=all", "--no-color", "--seed=1", *arguments]
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[1]),
        "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
        "SUPERPIXEL_TEST_MAP": kept,
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )
    output = done.stdout + done.stderr
    # Reproductions contain whole images.
    assert done.returncode == 0, re.sub(r"curl -X.*", "", output)[-5000:]
    assert re.search(r"Tested: 6\b", output), output[-3000:]
    assert api.call("GET", "/health/live").status == 200


def test_requests_from_the_description(api: Api, tmp_path: Path) -> None:
    check(api, tmp_path, "--phases=fuzzing", "--max-examples=8")


@pytest.mark.slow
def test_many_requests_from_the_description(api: Api, tmp_path: Path) -> None:
    check(api, tmp_path, "--phases=examples,coverage,fuzzing", "--max-examples=400")


def test_whole_answers_fit_their_schemas(api: Api) -> None:
    """schemathesis hardly ever asks for these."""
    description = describe()

    def fits(name: str, answer: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        jsonschema_rs.validator_for(schema).validate(answer)
        members = description["components"]["schemas"][name]["properties"]
        assert set(answer) <= set(members)

    prior = encoded((PIXELS[..., 0] > 99).astype(np.uint8))
    form = {"image": IMAGE, "prior": prior, "prior_mode": "hard", "counts": "300,20", "keep": "true"}
    segmentation = api.form("encoding=json", **form).json()
    assert {"tree", "heights", "map", "regions", "prior_components"} <= set(segmentation)
    fits("Segmentation", segmentation)
    fits("Region", segmentation["regions"][0])
    clicks = {"map": segmentation["map"], "clicks": [{"x": 50, "y": 50}]}
    fits("Selection", api.select(clicks).json())
    fits("ServerInfo", api.call("GET", "/v1/info").json())
    fits("Problem", json.loads(api.segment("counts=0").content))


def test_the_description_that_is_served_is_that_of_the_site(api: Api) -> None:
    answer = api.call("GET", "/v1/openapi.json")
    assert answer.json() == json.loads(json.dumps(describe()))
    assert answer.json()["openapi"] == "3.1.0"
    again = api.call("GET", "/v1/openapi.json", None, {"if-none-match": answer.headers["etag"]})
    assert (again.status, again.content) == (304, b"")
