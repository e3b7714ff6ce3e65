"""The page for a device without a keyboard: a QR code, a user code, and the outcome."""

from __future__ import annotations

from datetime import UTC, datetime

import segno
from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import JSONResponse, RedirectResponse, Response

from demo_app.devices import Devices, Waiting
from demo_app.pages import from_hub, page, said_scopes
from zaikio_oauth import AccessToken, ZaikioOAuthError

__all__ = ["router"]

router = APIRouter()

_DEVICE = "device"  # the session key for the ID of this browser's device


@router.get("/device")
async def device(request: Request) -> Response:
    """Show the codes while the device is waiting, and then the outcome."""
    waiting = _devices(request).get(request.session.get(_DEVICE))
    if waiting is None:
        return page(request, "device.html")
    if waiting.state == "waiting":
        return _codes(request, waiting)
    if waiting.state == "connected":
        return await _connected(request, waiting.outcome.result())
    return page(request, "device_ended.html", state=waiting.state)


@router.post("/device")
async def start(request: Request) -> Response:
    """Request codes for a device; a browser has only one device at a time."""
    devices = _devices(request)
    devices.forget(request.session.pop(_DEVICE, None))
    try:
        request.session[_DEVICE] = await devices.start()
    except ZaikioOAuthError:
        return page(request, "device_ended.html", status=503, state="failed")
    return RedirectResponse("/device", status_code=303)


@router.post("/device/forget")
async def forget(request: Request) -> Response:
    """Discard the codes."""
    _devices(request).forget(request.session.pop(_DEVICE, None))
    return RedirectResponse("/device", status_code=303)


@router.get("/device/status")
async def status(request: Request) -> Response:
    """Return the state to the page's script, which polls every two seconds."""
    waiting = _devices(request).get(request.session.get(_DEVICE))
    return JSONResponse({"state": waiting.state if waiting else "none"}, headers={"Cache-Control": "no-store"})


def _codes(request: Request, waiting: Waiting) -> Response:
    code = waiting.device
    address = code.verification_uri_complete or code.verification_uri
    picture = segno.make(address, error="m", micro=False).svg_inline(
        border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None
    )
    left = max(0, int((code.expires_at - datetime.now(UTC)).total_seconds()))
    return page(request, "device_waiting.html", device=code, address=address, picture=Markup(picture), left=left)  # noqa: S704


async def _connected(request: Request, token: AccessToken) -> Response:
    bearer, _ = await from_hub(request, "/organization" if token.organization else "/person", token)
    name = (bearer or {}).get("full_name") or (bearer or {}).get("name") or token.bearer_id
    return page(request, "device_connected.html", name=name, scopes=said_scopes(request, token))


def _devices(request: Request) -> Devices:
    devices: Devices = request.app.state.devices
    return devices
