"""HTML pages from Jinja templates: all text is escaped, and an unknown name in a template is an error."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

_SHARED = "lorarar.evaluation.report"  # has the base template, the macros and the style sheet


def render_page(template: str, *packages: str, **values: object) -> str:
    """Render a template into HTML.

    Args:
        template: The name of a template in the folder `templates` of one of the packages, or of this one.
        packages: Dotted names of packages that have templates of their own.
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
    return environment.get_template(template).render(**values)
