"""A key file and a token file that other users may read or change are not used."""

import os
import stat
from pathlib import Path

import pytest

from superpixel_service.security.reloading import UnusableFile, check_access
from superpixel_service.security.tokens import line_of, new_token
from tests.service.certificates import write_private
from tests.service.command import messages, superpixel
from tests.service.harness import running_server
from tests.service.test_tls import AUTHORITY, GOOD, PORTS, is_current, is_let_in

ROOT_ID, SERVER_ID, OTHER_ID = 0, 10001, 20002


@pytest.mark.parametrize(
    ("owner", "mode", "usable"),
    [
        (SERVER_ID, 0o600, True),
        (SERVER_ID, 0o400, True),
        (SERVER_ID, 0o640, False),
        (SERVER_ID, 0o644, False),
        (SERVER_ID, 0o620, False),
        (SERVER_ID, 0o602, False),
        (ROOT_ID, 0o440, True),  # as Kubernetes mounts a secret with defaultMode 0440 and an fsGroup
        (ROOT_ID, 0o640, True),
        (ROOT_ID, 0o644, False),  # as it does without defaultMode
        (ROOT_ID, 0o660, False),
        (OTHER_ID, 0o440, True),
        (OTHER_ID, 0o666, False),
    ],
)
def test_which_access_of_others_is_allowed(
    owner: int, mode: int, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: SERVER_ID)
    status = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, SERVER_ID, 1, 0, 0, 0))
    if usable:
        check_access(Path("key"), status)
    else:
        with pytest.raises(UnusableFile, match=f"mode {mode:04o}"):
            check_access(Path("key"), status)


@pytest.mark.parametrize("name", ["key", "tokens"])
def test_files_that_others_may_read_are_refused_unless_a_flag_allows_it(name: str, tmp_path: Path) -> None:
    files = {"chain": GOOD.chain, "key": GOOD.key, "tokens": line_of("all", ["segment"], new_token())}
    for each, content in files.items():
        write_private(tmp_path / each, content)
    (tmp_path / name).chmod(0o644)
    flags = [
        f"--tls-cert-file={tmp_path / 'chain'}",
        f"--tls-key-file={tmp_path / 'key'}",
        f"--token-file={tmp_path / 'tokens'}",
    ]
    run = superpixel("serve", *PORTS, *flags)
    assert run.returncode == 1
    assert "chmod 600" in messages(run)[-1]
    assert str(tmp_path / name) in messages(run)[-1]
    with running_server(*flags, "--allow-shared-files=true") as server:
        assert server.health_status() == "SERVING"


def test_a_key_that_others_may_read_later_is_not_taken(tmp_path: Path) -> None:
    """The server keeps what it has, and reports the file."""
    chain, key = tmp_path / "chain", tmp_path / "key"
    chain.write_bytes(GOOD.chain)
    write_private(key, GOOD.key)
    with running_server(f"--tls-cert-file={chain}", f"--tls-key-file={key}") as server:
        key.chmod(0o604)
        assert is_let_in(server, AUTHORITY.credentials())
        assert not is_current(server)
        assert "0604" in server.wait_for_line("reload_failed")["problem"]
        key.chmod(0o600)
        assert is_current(server)
