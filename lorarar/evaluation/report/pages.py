"""HTML pages from Jinja templates: all text is escaped, and an unknown name in a template is an error."""

from __future__ import annotations

import base64
import hashlib

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

_SHARED = "lorarar.evaluation.report"  # has the base template, the macros and the style sheet


def render_page(template: str, *packages: str, script: str = "", **values: object) -> str:
    """Render a template into HTML.

    Args:
        template: The name of a template in the folder `templates` of one of the packages, or of this one.
        packages: Dotted names of packages that have templates of their own.
        script: The name of a JavaScript file beside the templates, the only code that the page may run; "" for none.
        values: The template's variables. Text in them is escaped.
    """
    loaders = [PackageLoader(package) for package in (*packages, _SHARED)]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    policy = "'none'"
    if script:
        code = environment.get_template(script).render().encode("utf-8")
        policy = f"'sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode('ascii')}'"
    return environment.get_template(template).render(script=script, script_policy=policy, **values)
