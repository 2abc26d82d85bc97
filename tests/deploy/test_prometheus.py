"""Rules, alerts and dashboard at a real Prometheus that scrapes a real server."""

import io
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import yaml
from PIL import Image

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.deploy.conftest import ROOT, Rendered
from tests.deploy.monitoring import ONLY_ON_A_GPU, adapter_expression, adapter_rule, expressions, recorded
from tests.service.certificates import Authority, SecretFolder
from tests.service.harness import CHANNEL_OPTIONS, request, running_server
from tests.service.images import encoded, scene

PATIENCE_SECONDS = 300.0


def sped_up(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules with each minute shortened to half a second, the interval of scraping; thresholds stay."""

    def shorter(text: str) -> str:
        minutes = {"m": 1, "h": 60, "d": 1440}
        return re.sub(
            r"(?<=[\[ ])(\d+)([mhd])\b", lambda found: f"{int(found[1]) * minutes[found[2]] * 500}ms", text
        )

    groups = json.loads(json.dumps(rules["groups"]))
    for group in groups:
        group["interval"] = "500ms"
        for rule in group["rules"]:
            rule["expr"] = shorter(rule["expr"])
            if "for" in rule:
                rule["for"] = shorter(" " + rule["for"]).strip()
    return {"groups": groups}


class Prometheus:
    def __init__(self, address: str) -> None:
        self._address = address

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=300) as page:
            return json.load(page)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def firing(self) -> set[str]:
        return {a["labels"]["alertname"] for a in self._get("alerts")["alerts"] if a["state"] == "firing"}

    def seen(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                if condition():
                    return True
            except OSError:  # not started yet
                pass
            time.sleep(0.1)
        return False


@contextmanager
def running_prometheus(folder: Path, rules: dict[str, Any], target: str) -> Iterator[Prometheus]:
    """Start a Prometheus that scrapes `target` twice a second, with the labels that the PodMonitor sets."""
    scrape = {
        "job_name": "superpixel",
        "static_configs": [{"targets": [target], "labels": {"namespace": "superpixel", "pod": "a"}}],
    }
    wanted = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scrape],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(wanted))
    with (folder / "log").open("w") as log:
        options = (
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
        )
        process = subprocess.Popen(["prometheus", *options], cwd=folder, stderr=log)
        try:
            found = None
            end = time.monotonic() + PATIENCE_SECONDS
            while found is None:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                found = re.search(r"msg=\"Listening on\" address=(\S+)", (folder / "log").read_text())
                time.sleep(0.05)
            yield Prometheus(found[1])
        finally:
            process.kill()
            process.wait()


@contextmanager
def load(stub: pb_grpc.SuperpixelServiceStub) -> Iterator[None]:
    """Overload the server in both lanes, with valid and invalid images, until the block ends."""
    over = threading.Event()
    photo = Image.open(ROOT / "examples" / "photos" / "astronaut.jpg").convert("RGB").resize((1000, 900))
    file = io.BytesIO()
    photo.save(file, "JPEG")
    large = file.getvalue()

    def call(number: int) -> None:
        calls = 0
        while not over.is_set():
            calls += 1
            source = (
                b"no image"
                if (number, calls % 5) == (0, 0)
                else large + number.to_bytes(1) + calls.to_bytes(4)
            )
            try:
                stub.Segment(request(source, 100), timeout=300)
            except grpc.RpcError:
                over.wait(0.02)

    def stream() -> None:
        small = encoded(scene())

        def messages() -> Iterator[pb.SegmentStreamRequest]:
            while not over.is_set():
                yield pb.SegmentStreamRequest(request_id="x", request=request(small, 5))
                over.wait(0.05)

        for _ in stub.SegmentStream(messages()):
            pass

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    threads.append(threading.Thread(target=stream))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_real_prometheus_has_data_for_all_expressions_and_alerts(
    everything: dict[str, Rendered], rules: dict[str, Any], dashboard: dict[str, Any], tmp_path: Path
) -> None:
    authority = Authority()
    pair = authority.issue("127.0.0.1")  # valid for a day, so it expires soon
    secret = SecretFolder(tmp_path, cert=pair.chain, key=pair.key)
    flags = [f"--tls-cert-file={tmp_path / 'cert'}", f"--tls-key-file={tmp_path / 'key'}"]
    flags += ["--workers=1", "--max-inflight-calls=3", "--cache-bytes=10000000", "--max-streams=1"]
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with running_server(*flags) as server:
        channel = grpc.secure_channel(server.listen, authority.credentials(), options=CHANNEL_OPTIONS)
        with channel, running_prometheus(folder, sped_up(rules), server.metrics_address) as prometheus:
            with load(pb_grpc.SuperpixelServiceStub(channel)):
                asked = [
                    *expressions(dashboard),
                    *recorded(rules),
                    adapter_expression(adapter_rule(everything)),
                ]
                asked = [text.replace("[1m]", "[5s]") for text in asked if ONLY_ON_A_GPU not in text]
                empty = set(asked)

                def all_answered() -> bool:
                    for text in sorted(empty):
                        if prometheus.query(text):
                            empty.discard(text)
                    return not empty

                assert prometheus.seen(all_answered), empty
                expected = {"SuperpixelRefusing", "SuperpixelCertificateExpires"}
                assert prometheus.seen(lambda: expected <= prometheus.firing()), prometheus.firing()
                # Other alerts may fire if this machine is slow.
                assert not prometheus.firing() & {"SuperpixelFaults", "SuperpixelBug", "SuperpixelRestarting"}
                secret.put(cert=np.random.default_rng(1).bytes(900))
                assert prometheus.seen(lambda: "SuperpixelReloadFailed" in prometheus.firing())
            assert prometheus.seen(lambda: "SuperpixelRefusing" not in prometheus.firing())
            server.process.kill()
            assert prometheus.seen(lambda: "SuperpixelDown" in prometheus.firing())
