"""The variables ``ZAIKIO_…`` of the environment and of the file ``.env`` in the working directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, PydanticBaseSettingsSource

__all__ = ["ENV_FILE", "PREFIX", "EnvFile", "Environment"]

PREFIX = "ZAIKIO_"
ENV_FILE = ".env"


class Environment(EnvSettingsSource):
    """The environment, in which JSON may also be nested too deeply to be read."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except RecursionError:
            # What pydantic-settings expects of a text that is no JSON.
            raise ValueError("is nested too deeply") from None


class EnvFile(Environment):
    """The file ``.env``, in which there are also variables of others."""

    def __init__(self, settings_cls: type[BaseSettings], dotenv_settings: PydanticBaseSettingsSource) -> None:
        # It has read the file that is meant, which may be another one or none: Settings(_env_file=None).
        self._variables = dotenv_settings.env_vars if isinstance(dotenv_settings, DotEnvSettingsSource) else {}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables
