"""Damaged files in the root: the command exits with one line that names the file and remedy."""

import json
from pathlib import Path

import pytest
from hubserver import call, running_hub
from localhub_wire import localhub

from localhub.faults import Faults
from localhub.hub import Hub

SECRET = "hf_a-secret-that-is-not-to-be-shown"
NOT_JSON = [b"", b"[[", b'{"id": "0', b"\xff\xfe\x00", b"[" * 100_000, b'"\\ud83d"', b"NaN"]
WRONG_TYPES = [b"null", b"3", b'"x"', b"true", b"[3]", b"[[]]", b'[{"a": 1}]']
TOKEN = {"token": SECRET, "name": "demo", "role": "write"}


def rows(*values: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


DAMAGE = {
    "tokens.json": [
        *NOT_JSON,
        *WRONG_TYPES,
        *rows({}, [TOKEN | {"name": 5}], [TOKEN | {"orgs": "films"}], [TOKEN | {"orgs": [3]}]),
        *rows([TOKEN | {"role": ["read"]}], [TOKEN | {"user": "x"}]),
        *rows([TOKEN | {"token": f"{SECRET}\n"}]),
    ],
    "faults.json": [
        *NOT_JSON,
        *WRONG_TYPES,
        *rows({}, ["GET"], ["GET /a{99999999999}=500"], ["GET /" + "(" * 9999 + "=500"]),
        *rows([f"GET /=500*{'9' * 5000}"], ["GET /=500*²"], {"GET /=500": 1}),
    ],
    "token": [b"", b"\n", b"\xff", b"two\nlines", b"a\0b", "é".encode()],
    "token-read": [b""],
    "token-admin": [b""],
}  # fmt: skip


def start(root: Path) -> None:
    """Read the files that the command reads at its start."""
    Faults(Hub, Hub(root).root)


@pytest.mark.parametrize(
    ("name", "content"),
    [(name, content) for name, contents in DAMAGE.items() for content in contents],
    ids=lambda value: repr(value)[:30] if isinstance(value, bytes) else value,
)
def test_damaged_file_is_reported_in_one_line(tmp_path, name, content):
    file = tmp_path / name
    file.touch(0o600)
    file.write_bytes(content)
    with pytest.raises(ValueError) as error_info:
        start(tmp_path)
    message = str(error_info.value)
    assert message.startswith(str(file)) and "\n" not in message and len(message) < 1000
    assert " must " in message and "emove it" in message
    assert SECRET not in message
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", [*DAMAGE, "tmp/lock", "servers"])
def test_command_exits_when_a_folder_replaces_a_file(tmp_path, name):
    (tmp_path / name).mkdir(0o700, parents=True)
    ended = localhub("--root", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"localhub: {tmp_path / name}")
    assert "emove it" in ended.stderr or "move away what is in the way" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("root", ["file/hub", "a" * 300])
def test_invalid_root_is_reported(tmp_path, root):
    (tmp_path / "file").touch()
    ended = localhub("--root", str(tmp_path / root))
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.count("\n") == 1 and root in ended.stderr


def test_command_names_damaged_file_and_remedy(tmp_path):
    (tmp_path / "faults.json").write_text("{}")
    ended = localhub("--root", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"localhub: {tmp_path}/faults.json must be a list of faults: all of it: Input should be a"
        " valid array. Correct it or remove it; see localhub/faults.py.\n"
    )


def test_removed_token_file_is_recreated(tmp_path):
    Hub(tmp_path)
    first = (tmp_path / "token").read_bytes()
    (tmp_path / "token").unlink()
    assert Hub(tmp_path).tokens and (tmp_path / "token").read_bytes() != first


def test_faults_file_damaged_while_running(tmp_path):
    with (
        open(tmp_path / "stderr", "w+") as stderr,
        running_hub(tmp_path / "hub", stderr=stderr) as hub,
    ):
        for content in ("[", '["GET"]', "{}"):
            (hub.root / "faults.json").write_text(content)
            answer = call(hub, "GET", "/api/models")
            assert answer.status == 500 and "faults.json" in answer.json["error"]
        (hub.root / "faults.json").unlink()
        assert call(hub, "GET", "/api/models").status == 200
        stderr.seek(0)
        assert not stderr.read()
