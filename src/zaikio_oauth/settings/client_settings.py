"""The settings of one client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import Secret
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings.values import list_of, text_only

__all__ = ["ClientSettings", "InvalidClient", "same_app"]


def same_app(audience: str, client_name: str) -> bool:
    """Return True if an audience is the app after which a client is named (RFC 7519 §4.1.3: case-sensitive).

    An environment variable cannot have hyphens, so an underscore in a client's name may stand for one. Nothing else is
    equal to something else.
    """
    return client_name in (audience, audience.replace("-", "_"))


class InvalidClient(ConfigurationError, ValueError):
    """What is wrong with the settings of a client; a ValueError too, so that pydantic reports it among other problems.

    ``details`` are pydantic's, without the input.
    """

    def __init__(self, details: Sequence[Mapping[str, Any]]) -> None:
        self.details = details
        lines = (f"  {each['loc'][0]} {each['msg'].removeprefix('Value error, ')}" for each in details)
        super().__init__("\n".join(["Settings of a client:", *lines]))


class ClientSettings(BaseModel):
    """One OAuth client (app) as it is registered at the Hub.

    Without ``client_secret`` it is a public client (RFC 6749 §2.1; the Hub says non-confidential). Without
    ``organization_scopes`` organizations cannot connect. ``webhook_secret`` is shared with Loom, the Hub's event bus;
    it may be a list, because the old one remains valid while it is being changed.

    ``default_scopes`` are asked of the person who logs in (without prefix or with ``Per.``), who may act on behalf of
    an organization (``Per>Org.``); ``organization_scopes`` of the organization that connects (without prefix or with
    ``Org.``). Both take a list, or a string with commas or spaces. Raises ConfigurationError, which shows no secret.

        Settings(clients={"warehouse": ClientSettings(client_id="…", client_secret="…",
                                                      default_scopes=["zaikio.person.r"])},
                 encryption_keys=[key])
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    default_scopes: Annotated[tuple[str, ...], NoDecode] = ()
    organization_scopes: Annotated[tuple[str, ...], NoDecode] = ()
    webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = ()

    if TYPE_CHECKING:
        # What may be given, which is more than what the fields hold.
        def __init__(
            self,
            *,
            client_id: str,
            client_secret: str | SecretStr | None = None,
            default_scopes: str | Iterable[str] = (),
            organization_scopes: str | Iterable[str] = (),
            webhook_secret: str | SecretStr | Iterable[str | SecretStr] = (),
        ) -> None: ...

    else:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                details = error.errors(include_url=False, include_input=False)
            else:
                return
            finally:
                # A tool that reports an error shows the locals of this frame.
                values.clear()
            # Raised outside the handler: pydantic's error contains the input, secrets included.
            raise InvalidClient(details)

    @field_validator("default_scopes")
    @classmethod
    def _persons_scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        acting = [each for each in map(scope_rules.prefix_of, value) if each.startswith("Per>Org")]
        if others := scope_rules.of_others(value, "Per", *acting):
            raise ValueError(
                f"are asked of the person who logs in, but {others[0]!r} is not that person's; write "
                f"{scope_rules.unprefixed(others[0])!r} in organization_scopes, or here if it is meant for the person"
            )
        return value

    @field_validator("organization_scopes")
    @classmethod
    def _organizations_scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if others := scope_rules.of_others(value, "Org"):
            raise ValueError(
                f"are asked of the organization that connects, but {others[0]!r} names another bearer; write "
                f"{scope_rules.unprefixed(others[0])!r}"
            )
        return value

    @field_validator("default_scopes", "organization_scopes", mode="before")
    @classmethod
    def _scopes(cls, value: Any) -> Any:
        listed = list_of(value)
        if not isinstance(listed, list | tuple | set | frozenset):
            return listed or ()
        if not all(isinstance(scope, str) for scope in listed):
            raise ValueError("has to be a list of strings")
        return scope_rules.parse(listed)

    @field_validator("*")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return text_only(value)

    @field_validator("webhook_secret", mode="before")
    @classmethod
    def _secrets(cls, value: Any) -> Any:
        listed = list_of(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return [each for each in listed if each] if isinstance(listed, list | tuple) else listed or ()

    @field_validator("client_secret")
    @classmethod
    def _empty_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value and value.get_secret_value() else None

    @property
    def confidential(self) -> bool:
        """True if the client has a secret (RFC 6749 §2.1)."""
        return self.client_secret is not None

    @property
    def plain_webhook_secrets(self) -> tuple[str, ...]:
        """The webhook secrets in plain text. Never show or log them."""
        return tuple(Secret(secret.get_secret_value()) for secret in self.webhook_secret)

    def scopes_for(self, bearer_type: str) -> tuple[str, ...]:
        """Return the scopes that a bearer of this type is asked for."""
        return self.organization_scopes if bearer_type == "Organization" else self.default_scopes
