import json
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.render import TEMPLATES, _environment, data_file, page, script_json

HOSTILE = "</script><script>alert(1)</script>\u2028{{7*7}}\ud800&\u202e"


def shown(template: str, **facts: object) -> str:
    return _environment().from_string(template).render(**facts)


def test_foreign_text_stays_text() -> None:
    assert shown("{{ x }}", x='<img src=x onerror="a()">\u202e') == ("&lt;img src=x onerror=&#34;a()&#34;&gt;⟨U+202E⟩")


def test_a_fact_that_was_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        shown("{{ nothing }}")


def test_a_fact_that_is_not_known_is_never_put_out_as_if_it_were() -> None:
    with pytest.raises(TypeError, match="not known"):
        shown("{{ x }}", x=None)
    assert "n/a" in shown("{{ x|count }}", x=None)
    assert shown("{{ x|count }}", x=0) == "0"


def test_json_of_a_script_ends_no_element_and_is_the_value_again() -> None:
    text = script_json({"x": HOSTILE})
    assert not re.search(r"[<>&\u2028]", text)
    assert text.isascii()
    assert json.loads(text)["x"].startswith("</script>")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        script_json([value])


def test_a_data_file_is_a_script_that_hands_over_one_value() -> None:
    assert data_file("a/b", [1]).path == "data/a/b.js"
    assert data_file("a/b", [1]).data == b'trajgen.take("a/b", [1]);\n'


def test_every_page_forbids_what_is_not_our_own_file() -> None:
    text = page("base.html", "jobs/x/index.html").data.decode()
    assert "default-src &#39;none&#39;; script-src &#39;self&#39;; style-src &#39;self&#39;" in text
    assert 'src="../../static/site.js"' in text


def test_no_template_marks_text_as_safe_or_carries_script_or_style_of_its_own() -> None:
    for template in TEMPLATES.glob("*.html"):
        text = template.read_text()
        assert not re.search(r"\|\s*safe\b|autoescape|style=|\son\w+=|javascript:", text), template.name
        assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", text))
        assert "<style" not in text


def test_markup_of_ours_is_left_as_it_is() -> None:
    assert shown("{{ x }}", x=Markup("<b>")) == "<b>"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "<script>", "index", "", "x" * 300, "\ud800"])
def test_a_page_of_an_odd_name_lies_within_the_site(name: str) -> None:
    for path in (places.trial_page(name, name), places.job_page(name), places.data_set_page(name)):
        assert ".." not in Path(path).parts
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", path)


def test_different_names_have_different_pages() -> None:
    assert places.slug("a/b") != places.slug("a_b")
    assert places.slug("index") != "index"
