"""The folder of a front end, looked at before a server starts."""

from __future__ import annotations

from streams.config import Config
from streams.errors import ConfigError

INDEX = "index.html"


def check_site(config: Config) -> None:
    """Raises ConfigError if there is to be a front end, and its folder has no index.html."""
    if config.site is not None and not (config.site / INDEX).is_file():
        raise ConfigError(
            f"site is {str(config.site)!r}, and there is no {INDEX} in it; the folder of a front end was expected. Correct "
            "RETOLD_SITE, `site` in [tool.retold], or --site."
        )
