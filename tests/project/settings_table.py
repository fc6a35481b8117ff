"""Writes the table in docs/settings.md from the settings: `python tests/project/settings_table.py`."""

from pathlib import Path

from pydantic import SecretStr

from greenroom.cli.settings import Settings, flag_of, row_of, variables_of

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
BEGIN, END = "<!-- the table, from greenroom.cli.settings -->", "<!-- end of the table -->"


def table() -> str:
    lines = ["| setting | flag | environment | default | commands | what it does |", "|---|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (
            f"`{name}`",
            f"`{flag_of(name)}`" if flag_of(name) else ("`[AGENT]...`" if name == "agent" else "none"),
            ", ".join(f"`{variable}`" for variable in variables_of(name)),
            default(field.default),
            ", ".join(commands(name)),
            field.description or "",
        )
        escaped = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| {' | '.join(escaped)} |")
    return "\n".join(lines)


def commands(name: str) -> list[str]:
    return [
        {"store": "sessions, migrate", "chat": "chat, tools"}.get(command, command) for command in row_of(name).takes
    ]


def default(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, "", ()):
        return ""
    if isinstance(value, tuple):
        value = ",".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and value >= 1024 and value % 1024 == 0:
        return f"`{value // 1024**2}MiB`" if value % 1024**2 == 0 else f"`{value}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def page_with(new: str) -> str:
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{head}{BEGIN}\n{new}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(table()), encoding="utf-8")
