"""Names sent by clients: repository ids and paths."""

import os
from pathlib import Path
from urllib.parse import quote

from hubserver import call
from hypothesis import given, settings
from hypothesis import strategies as st

from localhub.errors import HubError
from localhub.names import check_path, is_repo_id


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab./\\\0 é"), max_size=8))
def test_valid_path_stays_inside_repository(path):
    try:
        checked = check_path(path)
    except HubError as error:
        assert error.status == 400
        return
    root = Path("/root/of/repo")
    assert Path(os.path.normpath(root / checked)).is_relative_to(root)
    assert str(root / checked) == os.path.normpath(root / checked)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aZ9._-/\\\0 é"), max_size=8))
def test_valid_repo_id_is_two_folders(repo_id):
    if is_repo_id(repo_id):
        assert len(Path(os.path.normpath(Path("/root") / repo_id)).parts) == 4


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=20))
def test_no_path_causes_server_error(hub, path):
    for prefix in ("/demo/x/resolve/main/", "/api/models/demo/x/tree/main/", "/", "/api/"):
        encoded = quote(path.encode("utf-8", "surrogatepass"), safe="/")
        assert call(hub, "GET", prefix + encoded).status < 500
