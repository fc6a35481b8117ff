"""From settings to what the layers are given."""

from urllib.parse import urlsplit

from greenroom.cli.keys import KeyRing, clear_keys, parse_keys, parse_tool_traces
from greenroom.cli.logs import Log, choose_format, configure
from greenroom.cli.settings import Settings
from greenroom.core.redaction import HIDDEN, Redactor


def set_up_log(process: str, settings: Settings) -> Log:
    """Configures logging for this process."""
    redactor = Redactor(secrets_in(settings), settings.log_redact)
    return configure(process, choose_format(settings.log_format), settings.log_level, redactor)


def secrets_in(settings: Settings) -> list[str]:
    """What may not be written down anywhere."""
    secrets = clear_keys(settings.api_keys.get_secret_value())
    secrets.append(settings.upstream_key.get_secret_value())
    if settings.core_key is not None:
        secrets.append(settings.core_key.get_secret_value())
    if password := urlsplit(settings.database_url.get_secret_value()).password:
        secrets.append(password)
    return secrets


def key_ring(settings: Settings) -> KeyRing | None:
    """The configured keys; None when there are none and everything is open."""
    entries = parse_keys(settings.api_keys.get_secret_value())
    return KeyRing(entries, parse_tool_traces(settings.key_tool_trace)) if entries else None


def hide_password(url: str) -> str:
    """A database URL as it may be shown."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", f":{HIDDEN}@", 1) if password else url
