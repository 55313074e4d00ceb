"""The application: its parts in the order in which a request meets them.

A request meets: host name, size limits, foreign origin, gate (account, permission, step-up), token, view,
headers. Nothing reaches a view that did not pass all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Flask
from jinja2 import StrictUndefined
from werkzeug.routing import BaseConverter

from webconsole import csrf, errors, gate, headers, i18n, page
from webconsole.context import EXTENSION, OPENER, ConsoleContext
from webconsole.keycache import KeyCache
from webconsole.opening import Opener
from webconsole.routes import BLUEPRINTS

MAX_BODY_BYTES = 1024 * 1024  # forms only: nothing is uploaded through the console
MAX_FORM_BYTES = 512 * 1024
MAX_FORM_PARTS = 1000  # bulk actions send one field a recording


class UlidConverter(BaseConverter):
    """`<ulid:recording_id>` in a route: exactly the ids that core.clock makes; anything else is no page."""

    regex = "[0-7][0-9A-HJKMNP-TV-Z]{25}"


def create_app(context: ConsoleContext, blueprints: Sequence[Blueprint] = BLUEPRINTS) -> Flask:
    """The console over `context`. Raises UndeclaredViewError when a view is silent about who may see it."""
    app = Flask(__name__, static_folder=None, template_folder="templates")
    app.extensions[EXTENSION] = context
    app.extensions[OPENER] = Opener(context, KeyCache())
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES,
        MAX_FORM_PARTS=MAX_FORM_PARTS,
        PROPAGATE_EXCEPTIONS=False,
        TRAP_HTTP_EXCEPTIONS=False,
    )
    app.url_map.converters["ulid"] = UlidConverter
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    _install_checks(app, context)
    i18n.install(app)
    page.install(app)
    errors.install(app)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    gate.refuse_undeclared(app)
    return app


def _install_checks(app: Flask, context: ConsoleContext) -> None:
    headers.install_host_check(app, headers.own_names(context.settings.console))
    for check in (csrf.refuse_foreign, gate.enforce, csrf.check_token):
        app.before_request(check)
    for finish in (headers.add_headers, csrf.send_visit):
        app.after_request(finish)
