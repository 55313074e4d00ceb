"""What every answer tells the browser, and which host names the console answers to.

The policy allows scripts, styles, pictures, media and connections from this origin only; nothing inline,
nothing evaluated, no frame, no plug-in. No cache keeps a page: the screens of an evidence room are shared.
"""

from __future__ import annotations

import ipaddress

from cryptography import x509
from flask import Flask, Response, abort, request

from core.settings import ConsoleSettings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FIXED = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()",
}
HSTS = "max-age=31536000"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def add_headers(response: Response) -> Response:
    """Write the fixed headers; a view may have set its own Cache-Control."""
    for name, value in FIXED.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    return response


def own_names(settings: ConsoleSettings) -> frozenset[str]:
    """The host names of this console: loopback, the bound address, and what the certificate vouches for."""
    names = set(LOOPBACK_NAMES)
    if settings.host not in {"0.0.0.0", "::"}:  # noqa: S104  # compared with, not bound to
        names.add(_in_header(settings.host))
    if settings.certificate is not None:
        certificate = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names.update(name.casefold() for name in extension.get_values_for_type(x509.DNSName))
        names.update(_in_header(str(address)) for address in extension.get_values_for_type(x509.IPAddress))
    return frozenset(names)


def install_host_check(app: Flask, names: frozenset[str]) -> None:
    """Answer only to our own names, so that a foreign name pointed here (DNS rebinding) reaches nothing."""

    def check_host() -> None:
        name = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
        if name.casefold() not in names:
            abort(421)

    app.before_request(check_host)


def _in_header(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host  # noqa: PLR2004
    except ValueError:
        return host.casefold()
