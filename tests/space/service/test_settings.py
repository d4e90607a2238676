"""Settings of the web service: each rule is named with its variable and value, never a key."""

import pytest
from service_app import KEY

from space.service.settings import InvalidSettings, Settings


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PORT": "high"}, r"PORT: .*integer.*, got 'high'"),
        ({"PORT": "70000"}, r"PORT: .*65535, got '70000'"),
        ({"RATE_LIMIT": "often"}, r"RATE_LIMIT: must be .*600/minute.*, got 'often'"),
        ({"RATE_LIMIT": "0/minute"}, r"RATE_LIMIT: must be a positive number.*, got '0/minute'"),
        (
            {"LISTEN_HOST": "no.such.host.invalid"},
            r"LISTEN_HOST: must be an address of this machine",
        ),
        ({"API_KEYS": f"{KEY},short"}, r"API_KEYS: .*16 characters, key 2 has fewer: .*openssl"),
        ({"API_KEYS_PROTECT": "all"}, r"API_KEYS_PROTECT=all needs keys"),
        ({"API_KEYS_PROTECT": "some"}, r"API_KEYS_PROTECT: .*'api' or 'all', got 'some'"),
        ({"ENGINE": "fast"}, r"^ENGINE must be one of auto, .*openvino-bf16, got 'fast'"),
        ({"MAX_BODY_BYTES": "1"}, r"MAX_BODY_BYTES: .*1000, got '1'"),
        ({"REQUEST_TIMEOUT_SECONDS": "0"}, r"REQUEST_TIMEOUT_SECONDS: .*greater than 0"),
    ],
)
def test_invalid_settings_name_rule_and_value(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=message) as caught:
        Settings.from_environment()
    assert KEY not in str(caught.value) and "short" not in str(caught.value)


def test_all_errors_are_reported_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("RATE_LIMIT", "x")
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment()
    assert len(str(caught.value).splitlines()) == 2


def test_lists_are_separated_by_commas_and_empty_variables_are_unset(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("API_KEYS", f" {KEY} ,, {KEY}2 ")
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example,https://b.example")
    monkeypatch.setenv("PORT", "")
    settings = Settings.from_environment()
    assert [key.get_secret_value() for key in settings.api_keys] == [KEY, f"{KEY}2"]
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.port == 7860
    assert KEY not in repr(settings)
