"""A part of these tests in the newest front end, for every run; --newest-front-end runs all of them there."""

import install
import pytest
from live_server import serving

from .test_demo import test_run_makes_the_picture_and_a_changed_strength_only_what_depends_on_it  # noqa: F401
from .test_help import test_every_node_tells_about_itself  # noqa: F401
from .test_live import demo, test_a_run_is_seen_while_it_samples, view  # noqa: F401
from .test_said import nodes, test_what_a_node_said_stays_until_it_says_something_else  # noqa: F401


@pytest.fixture(scope="module")
def server(tmp_path_factory, newest):
    with serving(tmp_path_factory.mktemp("comfyui"), *newest) as running:
        yield running


@pytest.fixture
def renderer() -> bool:
    """One is enough here."""
    return True


@pytest.fixture
def theme() -> str:
    return "dark"


@pytest.mark.parametrize("renderer", [False], ids=["classic"])
def test_what_a_node_said_stays_in_the_older_renderer_too(editor, renderer, nodes):  # noqa: F811
    test_what_a_node_said_stays_until_it_says_something_else(editor, renderer, nodes)


def test_it_is_the_newest(page):
    assert page.evaluate("window.__COMFYUI_FRONTEND_VERSION__") == install.FRONT_END
