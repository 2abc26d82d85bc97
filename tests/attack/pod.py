"""Servers with the settings of a pod of `deploy/`, with one token for the victim and one for the attacker."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from superpixel_service.contract import SCOPES
from superpixel_service.security.tokens import line_of, new_token
from tests.page.conftest import running_app
from tests.service.harness import MEBIBYTE, RunningServer, running_server

BASE = Path(__file__).parents[2] / "deploy" / "base"


def pod_flags() -> list[str]:
    """The settings of the manifests' ConfigMap as flags."""
    manifest = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    (settings,) = [one for one in manifest["configMapGenerator"] if one["name"] == "superpixel-settings"]
    pairs = [line.removeprefix("SUPERPIXEL_").split("=", 1) for line in settings["literals"]]
    return [f"--{name.lower().replace('_', '-')}={value}" for name, value in pairs]


def pod_memory_bytes() -> int:
    """The memory limit of the manifests' pod."""
    deployment = yaml.safe_load((BASE / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", container["resources"]["limits"]["memory"]).groups()
    return int(number) * MEBIBYTE * (1024 if unit == "Gi" else 1)


@dataclass
class Place:
    """What is attacked.

    Attributes:
        servers: all with the same settings.
        gateway: address of the page, if one runs before the first server.
        victim_token: admits all methods; so does `attacker_token`.
    """

    servers: list[RunningServer]
    victim_token: str
    attacker_token: str
    gateway: str = ""
    processes: list[int] = field(default_factory=list)

    @property
    def victim_address(self) -> str:
        """Where the victim sends its photographs."""
        if self.gateway:
            return self.gateway
        addresses = [server.listen for server in self.servers]
        return addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)


@contextmanager
def pods(folder: Path, *, servers: int = 1, gateway: bool = False) -> Iterator[Place]:
    """Start `servers` servers, and with `gateway` the page before the first one."""
    victim, attacker = new_token(), new_token()
    tokens = folder / "tokens"
    tokens.write_text(
        "".join(
            line_of(name, SCOPES.values(), token) + "\n"
            for name, token in (("victim", victim), ("attacker", attacker))
        )
    )
    tokens.chmod(0o600)
    with ExitStack() as stack:
        settings = (*pod_flags(), f"--token-file={tokens}")
        running = [stack.enter_context(running_server(*settings)) for _ in range(servers)]
        place = Place(running, victim, attacker, processes=[server.process.pid for server in running])
        if gateway:
            token_file = folder / "gateway-token"
            token_file.write_text(victim)
            token_file.chmod(0o600)
            target = ("--server", running[0].listen, "--token-file", str(token_file))
            place.gateway = stack.enter_context(running_app(*target))
        yield place
