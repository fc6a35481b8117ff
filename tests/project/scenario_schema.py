"""Writes docs/scenario.schema.json from the format's models: `python tests/project/scenario_schema.py`."""

import json
from pathlib import Path

from greenroom.core.scenario_files.written import json_schema

PAGE = Path(__file__).parents[2] / "docs" / "scenario.schema.json"


def text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
