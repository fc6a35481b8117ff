"""Every setting, once. The flags, the environment's names, `greenroom.toml` and docs/settings.md follow from this table."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from greenroom.cli.keys import parse_keys, parse_tool_traces
from greenroom.cli.values import Bytes, Rate, Seconds, Words
from greenroom.core.evaluation import DERIVED

FILE = "greenroom.toml"
PREFIX = "GREENROOM_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the table says of a setting beyond its type: the commands that take it, and its flag where that is not its
    name ("" where it has none: a flag can be read by every user of the machine, so a secret has none)."""

    takes: tuple[str, ...]
    flag: str | None = None


_SERVE_EDGE = Row(takes=("serve", "edge"))
_SERVE_CORE = Row(takes=("serve", "core"))
_AGENT = Row(takes=("serve", "core", "chat"))
_ALL = Row(takes=("serve", "edge", "core"))
_EDGE = Row(takes=("edge",))
_CORE = Row(takes=("core",))

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """Flag, then environment, then `greenroom.toml`, then the default given here."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", validate_default=False)

    agent: Annotated[Words, Row(takes=("serve", "core"), flag="")] = Field(
        ("support",),
        min_length=1,
        description="The agents to serve, separated by commas: `support`, `module:attribute` from the current folder, an"
        " agent file, or an endpoint's address; `NAME=…` gives one a name. A request's `model` picks one when a session"
        " starts; the first is the default.",
    )
    agents_strict: Annotated[bool, _SERVE_CORE] = Field(
        False, description="Answer 404 to a `model` that names no agent, instead of letting the default one reply."
    )

    factory: Annotated[bool, _AGENT] = Field(
        False, description="Each `module:attribute` is a callable that makes an agent: one for each turn."
    )
    upstream_request: Annotated[Path | None, Row(takes=("serve", "core", "chat"), flag="--request")] = Field(
        None, description="For an agent at `https://…`: the Jinja template of what it is sent (docs/http-agent.md)."
    )
    upstream_reply: Annotated[str, Row(takes=("serve", "core", "chat"), flag="--reply")] = Field(
        "", description="Where the text stands in what it answers, as JSONPath, for instance `$.answer`."
    )
    upstream_tools: Annotated[str, Row(takes=("serve", "core", "chat"), flag="--tools")] = Field(
        "", description="Where it tells its tool calls, as JSONPath, for instance `$.actions`."
    )
    upstream_headers: Annotated[Words, Row(takes=("serve", "core", "chat"), flag="--headers")] = Field(
        (), description="Headers for it: `NAME: VALUE`, separated by commas; `${NAME}` is the environment's."
    )
    upstream_model: Annotated[str, _AGENT] = Field(
        "", description="The model asked for at an OpenAI-compatible endpoint. Unset: the first that it lists."
    )
    upstream_key: Annotated[SecretStr, Row(takes=("serve", "core"), flag="")] = Field(
        SecretStr(""), description="Key for an OpenAI-compatible endpoint. Unset: `OPENAI_API_KEY`."
    )

    tools_file: Annotated[Path | None, Row(takes=("serve", "core", "chat", "scenarios"))] = Field(
        None, description="File that says which tools from elsewhere the agents have, beside their own (docs/tools.md)."
    )

    host: Annotated[str, _SERVE_EDGE] = Field("127.0.0.1", description="Address for HTTP.")
    port: Annotated[Port, _SERVE_EDGE] = Field(
        8000, description="Port for HTTP; 0 picks a free one. `PORT` serves too."
    )
    grpc_host: Annotated[str, _SERVE_CORE] = Field("127.0.0.1", description="Address for gRPC.")
    grpc_port: Annotated[Port, _SERVE_CORE] = Field(50051, description="Port for gRPC; 0 picks a free one.")
    metrics_host: Annotated[str, _SERVE_CORE] = Field("127.0.0.1", description="Address for the core's own `/metrics`.")
    metrics_port: Annotated[Port | None, _SERVE_CORE] = Field(
        None, description="Port for the core's own `/metrics`; 0 picks a free one. Unset: none."
    )
    tls_cert: Annotated[Path | None, _SERVE_EDGE] = Field(None, description="Certificate chain for HTTPS (PEM).")
    tls_key: Annotated[Path | None, _SERVE_EDGE] = Field(None, description="Private key for HTTPS (PEM).")
    proxies: Annotated[Words, _SERVE_EDGE] = Field(
        (),
        description="Addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; `*` for all.",
    )
    cors_origins: Annotated[Words, _SERVE_EDGE] = Field((), description="Origins whose pages may call; `*` for all.")

    core: Annotated[str, _EDGE] = Field(
        "127.0.0.1:50051", description="Where the core listens: `HOST:PORT` or `unix:/path`."
    )
    core_key: Annotated[SecretStr | None, Row(takes=("edge",), flag="")] = Field(
        None, description="API key with scope `edge`, for a core on another machine without mutual TLS."
    )
    core_tls_ca: Annotated[Path | None, _EDGE] = Field(None, description="CA that signed the core's certificate (PEM).")
    core_tls_cert: Annotated[Path | None, _EDGE] = Field(
        None, description="The edge's certificate for mutual TLS (PEM)."
    )
    core_tls_key: Annotated[Path | None, _EDGE] = Field(
        None, description="The edge's private key for mutual TLS (PEM)."
    )
    grpc_socket: Annotated[Path | None, _CORE] = Field(None, description="Unix socket to listen on as well; mode 0600.")
    grpc_tls_cert: Annotated[Path | None, _SERVE_CORE] = Field(
        None, description="The core's certificate for mutual TLS (PEM)."
    )
    grpc_tls_key: Annotated[Path | None, _SERVE_CORE] = Field(
        None, description="The core's private key for mutual TLS (PEM)."
    )
    grpc_tls_ca: Annotated[Path | None, _SERVE_CORE] = Field(
        None, description="CA whose certificates callers must show: mutual TLS, which needs no key (PEM)."
    )

    database_url: Annotated[SecretStr, Row(takes=("serve", "core", "store"), flag="--database")] = Field(
        SecretStr("sqlite:///greenroom.db"), description="`sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`."
    )
    retain: Annotated[Seconds | None, _SERVE_CORE] = Field(
        None, description="Sessions idle for longer are dropped whole, for instance `30d`. Unset: all are kept."
    )

    scenarios_dir: Annotated[Path | None, Row(takes=("serve", "core", "chat", "scenarios"), flag="--scenarios")] = (
        Field(
            None,
            description="Folder of scenario files, read at start and on SIGHUP. Unset: `scenarios/` where it exists.",
        )
    )
    scenarios_strict: Annotated[bool, _SERVE_CORE] = Field(
        False,
        description="Answer 400 to a `scenario_id` that no scenario has, instead of starting from the default one.",
    )

    api_keys: Annotated[SecretStr, Row(takes=("serve", "edge", "core"), flag="")] = Field(
        SecretStr(""),
        description="`NAME[@NAMESPACE]:SCOPES:KEY`, separated by commas; scopes `chat`, `inspect`, `edge` joined by `+`;"
        " the key in clear or `sha256:HEX` (`greenroom keys create`). Empty: open, on loopback only.",
    )
    rate_limit: Annotated[Rate, _SERVE_EDGE] = Field(
        "200/second", description="Requests per key (per address without keys): `N/second|minute|hour`, or `off`."
    )
    tool_trace: Annotated[Literal["message", "metadata"], _SERVE_EDGE] = Field(
        "message", description="Where a reply carries its tool calls. Chat front ends want `metadata`."
    )
    key_tool_trace: Annotated[str, _SERVE_EDGE] = Field(
        "", description="The same for single keys: `NAME:metadata`, separated by commas."
    )
    session_headers: Annotated[Words, _SERVE_EDGE] = Field(
        (), description="Further headers that name the session, for instance `X-Conversation-Id`."
    )
    transcript_headers: Annotated[Words, _SERVE_EDGE] = Field(
        (),
        description="The same, of clients that send the whole conversation with every request, as chat front ends do: one"
        " without history starts over. For instance `X-OpenWebUI-Chat-Id`.",
    )
    stream_ping: Annotated[Seconds, _SERVE_EDGE] = Field(
        15.0, description="After so long without an event a stream gets a comment, which keeps its connection open."
    )
    users_existing: Annotated[Literal["replace", "conflict"], _SERVE_CORE] = Field(
        "replace", description="What creating a user again with another body does: replace it, or answer 409."
    )
    user_memory: Annotated[bool, _AGENT] = Field(
        False,
        description="Offer the agent what earlier sessions of the same user have left (docs/memory.md). A scenario's"
        " `memory` wins.",
    )
    record: Annotated[Path | None, _AGENT] = Field(
        None, description="The cassette to which the answers of tools and models are added (docs/cassettes.md)."
    )
    replay: Annotated[Path | None, _AGENT] = Field(
        None,
        description="The cassette that answers in their place. With the same file as `record`, what it has no answer to is"
        " asked and added.",
    )
    replay_until: Annotated[Count | None, _AGENT] = Field(
        None, description="The last turn of a session that is replayed. Unset: all are."
    )
    evaluation_keys: Annotated[Words, _SERVE_CORE] = Field(
        tuple(DERIVED),
        description="What is derived into `evaluation_metadata` (docs/evaluation.md); `none` leaves it to the agent.",
    )

    max_body: Annotated[Bytes, _SERVE_EDGE] = Field(1024**2, description="Largest request body.")
    max_in_flight: Annotated[Count, _ALL] = Field(256, description="Turns that run at once.")
    max_queued: Annotated[Count, _ALL] = Field(
        1024, description="Turns that wait for a place; beyond them 503 at once."
    )
    agent_concurrency: Annotated[Count | None, _SERVE_CORE] = Field(
        None, description="Turns that one agent runs at once; others wait for it. Unset: as many as run at once."
    )
    session_waiting: Annotated[Count, _SERVE_CORE] = Field(8, description="Turns that may wait for one session.")
    session_wait: Annotated[Seconds, _SERVE_CORE] = Field(
        30.0, description="How long one waits before 429 `session_busy`."
    )
    turn_timeout: Annotated[Seconds, Row(takes=("serve", "edge", "core", "chat"))] = Field(
        60.0, description="Longest run of a turn."
    )
    slow_turn: Annotated[Seconds, _SERVE_CORE] = Field(5.0, description="A turn that runs longer is named in the log.")
    drain_timeout: Annotated[Seconds, _ALL] = Field(
        10.0, description="How long turns in flight may finish after SIGTERM."
    )
    carried_messages: Annotated[Count, _SERVE_CORE] = Field(1000, description="Messages that a request may carry.")
    session_turns: Annotated[Count, _SERVE_CORE] = Field(10_000, description="Turns of one session.")
    session_world_bytes: Annotated[Bytes, _SERVE_CORE] = Field(
        16 * 1024**2, description="World changes of one session."
    )
    turn_tool_calls: Annotated[Count, _SERVE_CORE] = Field(64, description="Tool calls of one turn.")
    tool_result_bytes: Annotated[Bytes, _SERVE_CORE] = Field(1024**2, description="Size of a tool's result.")
    reply_bytes: Annotated[Bytes, _SERVE_CORE] = Field(4 * 1024**2, description="Size of a reply.")
    memory_facts: Annotated[Count, _SERVE_CORE] = Field(
        100, description="Facts that a session may note of its user, and that a later one is told."
    )
    memory_bytes: Annotated[Bytes, _SERVE_CORE] = Field(
        16 * 1024, description="Size of what a session notes of its user, and of what a later one is told."
    )
    cache_bytes: Annotated[Bytes, _SERVE_CORE] = Field(
        64 * 1024**2, description="Sessions kept in memory between turns."
    )

    log_format: Annotated[Literal["json", "console"] | None, _ALL] = Field(
        None, description="`json` or `console`. Unset: console on a terminal, else json."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _ALL] = Field("info", description="Least level.")
    log_bodies: Annotated[bool, _SERVE_EDGE] = Field(False, description="Log requests' and replies' bodies, redacted.")
    log_redact: Annotated[Words, _ALL] = Field(
        (), description="Names of fields that are redacted wherever they are logged."
    )
    otel: Annotated[bool, _SERVE_CORE] = Field(
        False,
        description="Send spans of agents and tools to an OpenTelemetry collector (docs/tracing.md);"
        " needs `pip install 'greenroom[otel]'`.",
    )

    @field_validator("agent")
    @classmethod
    def _agents_are_named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for name in value if value.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is named twice")
        return value

    @field_validator("api_keys")
    @classmethod
    def _keys_are_readable(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value())
        return value

    @field_validator("key_tool_trace")
    @classmethod
    def _traces_are_readable(cls, value: str) -> str:
        parse_tool_traces(value)
        return value

    @field_validator("evaluation_keys")
    @classmethod
    def _keys_can_be_derived(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in DERIVED and value != ("none",)]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: cannot be derived; there are {', '.join(DERIVED)}, or `none`")
        return value

    @field_validator(
        "upstream_request", "tools_file", "tls_cert", "tls_key", "core_tls_ca", "core_tls_cert", "core_tls_key"
    )
    @classmethod
    def _file_exists(cls, value: Path | None) -> Path | None:
        return _readable(value)

    @field_validator("grpc_tls_cert", "grpc_tls_key", "grpc_tls_ca")
    @classmethod
    def _grpc_file_exists(cls, value: Path | None) -> Path | None:
        return _readable(value)

    @field_validator("scenarios_dir")
    @classmethod
    def _folder_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("there is no such folder")
        return value.absolute() if value is not None else None

    @model_validator(mode="after")
    def _certificates_come_with_keys(self) -> "Settings":
        for cert, key in (
            ("tls_cert", "tls_key"),
            ("core_tls_cert", "core_tls_key"),
            ("grpc_tls_cert", "grpc_tls_key"),
        ):
            if (getattr(self, cert) is None) != (getattr(self, key) is None):
                raise ValueError(f"{cert} and {key} are given together or not at all")
        if (self.grpc_tls_ca is None) != (self.grpc_tls_cert is None):
            raise ValueError("grpc_tls_ca, grpc_tls_cert and grpc_tls_key are given together or not at all")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        if len(init_settings()) == len(cls.model_fields):
            # a supervised process is given every value: its surroundings have been asked already
            return (init_settings,)
        return init_settings, env_settings, PlatformSource(settings_cls), FileSource(settings_cls)

    def document(self) -> dict[str, Any]:
        """All values as JSON, secrets in clear: for the pipe to a child process and for nothing else."""
        values = self.model_dump(mode="json")
        for name, value in self:
            if isinstance(value, SecretStr):
                values[name] = value.get_secret_value()
        return values


class PlatformSource(PydanticBaseSettingsSource):
    """`PORT`, which hosting platforms set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        port = os.environ.get("PORT")
        return {"port": port} if port else {}


class FileSource(PydanticBaseSettingsSource):
    """`greenroom.toml` in the current folder. A table's name is the first part of its settings' names: `[log] level = …`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return file_values()


def file_values() -> dict[str, Any]:
    """What the file says, flat. Raises `tomllib.TOMLDecodeError` and `OSError`."""
    path = Path(FILE)
    if not path.is_file():
        return {}
    flat: dict[str, Any] = {}
    for name, value in tomllib.loads(path.read_text(encoding="utf-8")).items():
        if isinstance(value, dict):
            flat.update({f"{name}_{inner}": deeper for inner, deeper in value.items()})
        else:
            flat[name] = value
    return flat


def row_of(name: str) -> Row:
    """The row of the table that names this setting."""
    return next(mark for mark in Settings.model_fields[name].metadata if isinstance(mark, Row))


def flag_of(name: str) -> str:
    """Its flag; "" when it has none."""
    flag = row_of(name).flag
    return f"--{name.replace('_', '-')}" if flag is None else flag


def variables_of(name: str) -> tuple[str, ...]:
    """The environment variables that set it, the strongest first."""
    own = f"{PREFIX}{name.upper()}"
    return (own, "PORT") if name == "port" else (own,)


def _readable(path: Path | None) -> Path | None:
    if path is None:
        return None
    path = path.absolute()
    try:
        path.open("rb").close()
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    return path
