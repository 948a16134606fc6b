"""From facts to bytes: the one place where a page, or a file that a page's script loads, comes into being.

Every text that a template puts out is made visible and escaped; there is no way around it, as nothing marks foreign
text as safe. A page carries a policy by which the browser runs no script and applies no style but our own files.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.dashboard import forms, places, reasons
from trajgen_assets.core.dashboard.text import all_visible, visible

TEMPLATES = Path(__file__).parent / "templates"

# `'self'` holds for pages opened from disk too: Chromium takes the files beside a page for its own.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; object-src 'none'"
)

_HTML_IN_JSON = re.compile("[<>&]")
_MAY_HIDE = re.compile(r"\\[ubfr]|\x7f")  # in JSON of plain ASCII: what is no such, no line feed and no tab


@dataclass(frozen=True, slots=True)
class SiteFile:
    """One file of the site: its path below the site's folder, with forward slashes, and its content."""

    path: str
    data: bytes


def page(template: str, path: str, **facts: Any) -> SiteFile:
    """Render `template` as the page at `path`.

    In the template `url("jobs.html")` is the address of another file of the site as seen from this page.

    Raises:
        jinja2.UndefinedError: the template asks for a fact that was not given.
        TypeError: a fact is None, and the template puts it out without saying what that means.
    """
    top = places.up_to_top(path)
    text = _environment().get_template(template).render(facts, url=_urls(top), top=top, path=path, policy=POLICY)
    return SiteFile(path, text.encode("utf-8", "strict"))


def data_file(name: str, value: Any) -> SiteFile:
    """`value` as a file `data/<name>.js` that hands it to the page which loads it.

    A script and no JSON: a page that was opened from disk may load the one and not the other.
    """
    call = f"trajgen.take({script_json(name)}, {script_json(value)});\n"
    return SiteFile(f"data/{name}.js", call.encode("ascii"))


def script_json(value: Any) -> str:
    """`value` as JSON that may stand in a script, in a page or apart: plain ASCII, and nothing in it ends an element.

    Raises:
        ValueError: a number in it is not finite.
    """
    text = _dumped(value)
    if _MAY_HIDE.search(text):  # else there is nothing to show, and looking at each text takes longer than writing all
        text = _dumped(all_visible(value))
    return _HTML_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _dumped(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def json_for_page(value: Any) -> Markup:
    """`script_json`, as a template puts it into `<script type="application/json">`."""
    return Markup(script_json(value))  # noqa: S704  it holds neither < nor > nor &


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(forms.FILTERS, json_for_page=json_for_page, meaning=reasons.meaning)
    environment.globals.update(places=places, count_of=count_of)
    return environment


def _urls(top: str) -> Callable[[str], str]:
    return lambda target: top + target


def _shown(value: Any) -> Any:
    """What stands for a value in a page. Text is made visible here, whatever template it comes from."""
    if value is None:
        raise TypeError("a fact that is not known was put into a page as if it were")
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value
