"""The command `python -m localhub`."""

import signal

import pytest
from hubserver import running_hub
from localhub_wire import localhub


def test_help_has_an_example():
    assert "python -m localhub --root hub" in localhub("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "99999"], "Choose another --port"),
        (["--run-spaces", "page"], "user/name, got 'page'"),
        (["--fault", "nonsense"], "METHOD PATH"),
        (["--fault", "GET [=500"], "regular expressions, got 'GET [=500'"),
    ],
)
def test_command_rejects_invalid_arguments(tmp_path, arguments, problem):
    ended = localhub("--root", str(tmp_path / "hub"), *arguments)
    assert ended.returncode == 1 and problem in ended.stderr
    assert "Traceback" not in ended.stderr


def test_occupied_port_is_reported(hub, tmp_path):
    ended = localhub("--root", str(tmp_path), "--port", hub.endpoint.split(":")[-1])
    assert ended.returncode == 1 and "Choose another --port" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_ends_cleanly_on_signals(number, tmp_path):
    with running_hub(tmp_path) as hub:
        hub.process.send_signal(number)
        assert hub.process.wait(timeout=20) == 0
        assert "export HF_ENDPOINT=" + hub.endpoint in hub.process.stdout.read()
