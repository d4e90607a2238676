"""Injected faults."""

import http.client

import pytest
from hubserver import call, running_hub
from localhub_wire import commit, text_file


def test_faults(tmp_path):
    drop, lose = "POST /api/models/.*/commit/ dropped=drop*1", "POST /api/.*/commit/=lose*1"
    arguments = ["--fault", drop, "--fault", lose, "--fault", "* /api/whoami-v2=500*2"]
    with running_hub(tmp_path, [*arguments, "--free-account"]) as hub:
        statuses = [call(hub, "GET", "/api/whoami-v2").status for _ in range(3)]
        assert statuses == [500, 500, 200]
        assert call(hub, "POST", "/api/repos/create", {"name": "m"}).status == 200
        for summary, kept in (("dropped", 0), ("lost", 1)):
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                commit(hub, "models/demo/m", text_file("a", summary), summary=summary)
            rows = call(hub, "GET", "/api/models/demo/m/commits/main").json
            assert [row["title"] for row in rows].count(summary) == kept
        assert commit(hub, "models/demo/m", text_file("a", "x")).status == 200

        def space_status(name: str, **fields: object) -> int:
            body = {"name": name, "type": "space", **fields}
            return call(hub, "POST", "/api/repos/create", body).status

        assert space_status("a", sdk="gradio") == space_status("a", sdk="docker") == 402
        assert space_status("b", sdk="static") == 200
        assert space_status("c", sdk="gradio", hardware="zero-a10g") == 200

        (tmp_path / "faults.json").write_text('["GET /api/models=403"]')
        refused = call(hub, "GET", "/api/models")
        assert refused.status == 403 and refused.headers["X-Error-Message"]
        (tmp_path / "faults.json").unlink()
        assert call(hub, "GET", "/api/models").status == 200
