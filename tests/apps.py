"""Small apps for the tests."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Security
from starlette.middleware.sessions import SessionMiddleware

from zaikio_oauth import AccessToken, ZaikioOAuth, login_error


def small_app(zaikio: ZaikioOAuth, prefix: str = "/zaikio", **options: Any) -> FastAPI:
    """Return the app of the example in the documentation, with a home page that shows the login error."""
    app = FastAPI(**options)
    app.add_middleware(SessionMiddleware, secret_key="session-secret-of-the-tests")
    app.include_router(zaikio.router, prefix=prefix)

    @app.get("/")
    async def home(request: Request) -> dict[str, Any]:
        error = login_error(request)
        shown = error and {"code": error.code, "description": error.description, "message": error.message}
        return {"error": shown}

    @app.get("/me", responses=zaikio.current_access_token.responses)
    async def me(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> dict[str, Any]:
        return {"id": token.id, "person": token.bearer_id, "scopes": token.scopes, "client": token.audience}

    @app.get("/sites", responses=zaikio.current_access_token.responses)
    async def sites(
        token: Annotated[AccessToken, Security(zaikio.current_access_token, scopes=["zaikio.sites.r"])],
    ) -> str:
        return token.id

    @app.get("/maybe")
    async def maybe(
        token: Annotated[AccessToken | None, Security(zaikio.optional_access_token, scopes=["zaikio.person.r"])],
    ) -> str:
        return token.bearer_id if token else "nobody"

    @app.post("/remember")
    async def remember(request: Request) -> str:
        request.session.update(await request.json())
        return "remembered"

    return app
