"""Every mistake in a scenario file is told with its place and what would be right, and the rest is loaded."""

from pathlib import Path
from textwrap import dedent
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.scenario_files.load import Loaded, load_scenarios
from greenroom.core.scenario_files.sources import Folder
from greenroom.core.scenario_files.yaml_reader import read_yaml
from greenroom.sdk import Agent, Turn, tool


@tool
def refund(order_id: str, amount: int = 0, mode: Literal["a", "b"] = "a") -> str:
    """Pays back."""
    return order_id


@tool
def order_lookup(order_id: str) -> str:
    """Looks up."""
    return order_id


agent = Agent("shop", tools=[refund, order_lookup], world={"orders": {"1": {"n": 1}}})


@agent.reply
def reply(turn: Turn) -> str:
    """Says nothing."""
    return ""


def load(folder: Path, **files: str) -> Loaded:
    """Writes the files and loads them; names without a suffix end in .yaml."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return load_scenarios(agent, [Folder(folder)])


def told(loaded: Loaded, folder: Path) -> list[str]:
    return [str(mistake).removeprefix(f"{folder}/") for mistake in loaded.mistakes]


def rule(text: str) -> str:
    """A file with one rule, in line 4."""
    return f"id: s\ntools:\n  refund:\n    - {text}\n"


MISTAKES = [
    # the file
    ("", "s.yaml:1: is empty"),
    ("# only words\n", "s.yaml:1: is empty"),
    ("- id: s\n", "s.yaml:1: a scenario is a mapping of keys, beginning with id"),
    ("just words\n", "s.yaml:1: a scenario is a mapping of keys, beginning with id"),
    ("id: s\n---\nid: t\n", "s.yaml:2: holds more than one document: one scenario a file"),
    ("id: s\nid: t\n", "s.yaml:2: id: is given twice; the first is in line 1"),
    ("id: s\ntools:\n  refund: []\n  refund: []\n", "s.yaml:4: tools.refund: is given twice; the first is in line 3"),
    ("id: s\n? [a]\n: b\n", "s.yaml:2: a key is a text, not a list or a mapping"),
    (
        "id: s\nuser: &u {profile: {}}\npatch:\n  <<: *u\n",
        's.yaml:4: patch["<<"]: YAML\'s merging is not supported; write the keys out, or use extends',
    ),
    (
        "id: s\ntitle: !!python/object:os.system x\n",
        "s.yaml:2: title: the tag tag:yaml.org,2002:python/object:os.system makes no plain data",
    ),
    ("id: s\npatch: !!set {a}\n", "s.yaml:2: patch: the tag tag:yaml.org,2002:set makes no plain data"),
    ("id: s\npatch: {a: !!int x}\n", 's.yaml:2: patch.a: no number is written as "x", or none that fits'),
    ("id: s\npatch: {a: 1e999}\n", 's.yaml:2: patch.a: no number is written as "1e999", or none that fits'),
    ("id: s\npatch: &p {a: *p}\n", "s.yaml:1: an alias stands within what it stands for"),
    ("id: s\npatch: {a: " + "[" * 101 + "]" * 101 + "}\n", "s.yaml:1: is nested more than 100 levels deep"),
    # keys
    ("title: x\n", "s.yaml:1: id: is required"),
    ("id: ''\n", "s.yaml:1: id: a text is needed, not an empty one"),
    ("id: 12\n", "s.yaml:1: id: a text is needed, not 12; put it in quotes"),
    (f"id: {'x' * 129}\n", "s.yaml:1: id: 128 characters at most"),
    ("id: s\ntitel: x\n", "s.yaml:2: titel: there is no such key; did you mean title?"),
    (
        "id: s\nzzz: x\n",
        "s.yaml:2: zzz: there is no such key; the keys here are id, title, agent, extends, world, patch, clock,"
        " user, instructions, memory, cassette, tools",
    ),
    ("id: s\n\ntitle:\n", "s.yaml:3: title: has no value; give one, or leave the key out"),
    ("id: s\ntitle: [a]\n", "s.yaml:2: title: a text is needed, not a list"),
    # extends
    ("id: s\nextends: defualt\n", "s.yaml:2: extends: there is no scenario defualt; did you mean default?"),
    ("id: s\nextends: zzz\n", "s.yaml:2: extends: there is no scenario zzz"),
    ("id: s\nextends: s\n", "s.yaml:2: extends: goes round in a circle: s → s"),
    # world and patch
    ("id: s\nworld:\n", "s.yaml:2: world: has no value; give one, or leave the key out"),
    ("id: s\nworld: [a]\n", "s.yaml:2: world: a mapping is needed, not a list"),
    ("id: s\nworld: {file: 3}\n", "s.yaml:2: world.file: a text is needed, not 3; put it in quotes"),
    (
        "id: s\nworld:\n  file: no.json\n",
        "s.yaml:3: world.file: no.json cannot be read: No such file or directory",
    ),
    ("id: s\nworld: {file: s.txt}\n", "s.yaml:2: world.file: s.txt has to end in .json, .yaml or .yml"),
    ("id: s\nworld: {file: bad.json}\n", "s.yaml:2: world.file: bad.json is not valid JSON: line 2: Expecting value"),
    ("id: s\nworld: {file: list.json}\n", "s.yaml:2: world.file: list.json is no mapping of collections"),
    (
        "id: s\nworld: {file: nan.json}\n",
        "s.yaml:2: world.file: nan.json is not valid JSON: NaN is no number of JSON's",
    ),
    (
        "id: s\nworld: {file: twice.yml}\n",
        "s.yaml:2: world.file: twice.yml line 2: is given twice; the first is in line 1",
    ),
    ("id: s\npatch: [a]\n", "s.yaml:2: patch: a mapping is needed, not a list"),
    ("id: s\npatch:\n", "s.yaml:2: patch: has no value; give one, or leave the key out"),
    # clock
    ("id: s\nclock: reel\n", 's.yaml:2: clock: {start, per_turn, per_call} is needed, or real, not "reel"'),
    ("id: s\nclock: 5\n", "s.yaml:2: clock: a mapping is needed, not 5"),
    ("id: s\nclock: {strat: x}\n", "s.yaml:2: clock.strat: there is no such key; did you mean start?"),
    (
        "id: s\nclock:\n  start: 2024-01-21\n",
        "s.yaml:3: clock.start: a date with time and zone is needed, for instance 2024-01-21T10:30:00Z, not"
        ' "2024-01-21"',
    ),
    (
        "id: s\nclock: {start: soon}\n",
        's.yaml:2: clock.start: a date with time and zone is needed, for instance 2024-01-21T10:30:00Z, not "soon"',
    ),
    (
        "id: s\nclock: {start: 0001-01-01T00:00:00Z}\n",
        "s.yaml:2: clock.start: a year from 1000 to 8999 is needed, not 1",
    ),
    (
        "id: s\nclock: {per_turn: 60}\n",
        "s.yaml:2: clock.per_turn: a number with ms, s, m or h is needed, for instance 1500ms, not 60",
    ),
    ("id: s\nclock: {per_call: 1000h}\n", "s.yaml:2: clock.per_call: 744h at most, not 1000h"),
    # user and instructions
    ("id: s\ncassette: {replai: x}\n", "s.yaml:2: cassette.replai: there is no such key; did you mean replay?"),
    ("id: s\nuser: {profil: {}}\n", "s.yaml:2: user.profil: there is no such key; did you mean profile?"),
    ("id: s\nuser: {profile: Ann}\n", 's.yaml:2: user.profile: a mapping is needed, not "Ann"'),
    ("id: s\ninstructions: {a: b}\n", "s.yaml:2: instructions: a text is needed, not a mapping"),
    # tools
    (
        "id: s\ntools:\n  refnd:\n    - timeout: true\n",
        "s.yaml:3: tools.refnd: the agent has no such tool; did you mean refund?",
    ),
    ("id: s\ntools: {xyz: []}\n", "s.yaml:2: tools.xyz: the agent has no such tool; its tools: refund, order_lookup"),
    ("id: s\ntools: [a]\n", "s.yaml:2: tools: a mapping is needed, not a list"),
    (
        "id: s\ntools:\n  refund:\n    timeout: true\n",
        "s.yaml:3: tools.refund: a list of rules is needed, not a mapping; each begins with a dash",
    ),
    (rule("timeout"), 's.yaml:4: tools.refund[0]: a mapping is needed, not "timeout"'),
    (rule("{}"), "s.yaml:4: tools.refund[0]: does nothing; give error, return, timeout or delay"),
    (
        rule("when: {call: 1}"),
        "s.yaml:4: tools.refund[0]: does nothing; give error, return, timeout or delay",
    ),
    (rule("{return: 1, timeout: true}"), "s.yaml:4: tools.refund[0]: return and timeout cannot both happen; give one"),
    (rule("{returns: 1}"), "s.yaml:4: tools.refund[0].returns: there is no such key; did you mean return?"),
    (rule("{timeout: yes}"), 's.yaml:4: tools.refund[0].timeout: true is needed, not "yes"'),
    (rule("{timeout: false}"), "s.yaml:4: tools.refund[0].timeout: true is needed, not false"),
    (rule("{error: down}"), 's.yaml:4: tools.refund[0].error: a mapping is needed, not "down"'),
    (rule("{error: {code: a}}"), "s.yaml:4: tools.refund[0].error.message: is required"),
    (
        rule("{error: {code: '', message: b}}"),
        "s.yaml:4: tools.refund[0].error.code: a text is needed, not an empty one",
    ),
    (
        rule("{error: {cod: a, code: a, message: b}}"),
        "s.yaml:4: tools.refund[0].error.cod: there is no such key; did you mean code?",
    ),
    (
        rule("{delay: soon}"),
        's.yaml:4: tools.refund[0].delay: a number with ms, s, m or h is needed, for instance 1500ms, not "soon"',
    ),
    (rule("{delay: 0s}"), "s.yaml:4: tools.refund[0].delay: takes no time; give a longer one, or leave the key out"),
    (
        rule("{delay: }"),
        "s.yaml:4: tools.refund[0].delay: a number with ms, s, m or h is needed, for instance 1500ms, not nothing",
    ),
    (
        rule("{when: {cal: 1}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.cal: there is no such key; did you mean call?",
    ),
    (rule("{when: {call: 0}, return: 1}"), "s.yaml:4: tools.refund[0].when.call: 1 or more is needed, not 0"),
    (
        rule("{when: {turn: two}, return: 1}"),
        's.yaml:4: tools.refund[0].when.turn: a whole number is needed, not "two"',
    ),
    (
        rule("{when: {turn: true}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.turn: a whole number is needed, not true",
    ),
    (
        rule("{when: {args: {order: x}}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.args.order: refund takes no such argument; did you mean order_id?",
    ),
    (
        rule("{when: {args: {zzz: x}}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.args.zzz: refund takes no such argument; it takes order_id, amount, mode",
    ),
    (
        rule("{when: {args: {order_id: 12345}}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.args.order_id: no call has it: the tool does not take 12345"
        " (Input should be a valid string); put it in quotes",
    ),
    (
        rule("{when: {args: {mode: c}}, return: 1}"),
        's.yaml:4: tools.refund[0].when.args.mode: no call has it: the tool does not take "c"'
        " (Input should be 'a' or 'b')",
    ),
    (
        rule("{when: {args: {amount: '7'}}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.args.amount: no call has it: what the tool gets is 7",
    ),
    (
        rule("{when: {args: {mode: {in: [a, c]}}}, return: 1}"),
        's.yaml:4: tools.refund[0].when.args.mode.in[1]: no call has it: the tool does not take "c"'
        " (Input should be 'a' or 'b')",
    ),
    (
        rule("{when: {args: {order_id: {in: []}}}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.args.order_id.in: a list with something in it is needed",
    ),
    (
        rule("{when: {args: {order_id: {in: x}}}, return: 1}"),
        's.yaml:4: tools.refund[0].when.args.order_id.in: a list is needed, not "x"',
    ),
    (
        rule("{when: {args: {order_id: {regex: '('}}}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.args.order_id.regex: is no regular expression: missing ),"
        " unterminated subpattern at position 0",
    ),
    (
        rule("{when: {args: {order_id: {regex: 5}}}, return: 1}"),
        "s.yaml:4: tools.refund[0].when.args.order_id.regex: a text is needed, not 5; put it in quotes",
    ),
    (
        rule("{return: 1}\n    - {timeout: true}"),
        "s.yaml:5: tools.refund[1]: is never reached: tools.refund[0] is for every call",
    ),
    (
        rule("{when: {call: 1}, return: 1}\n    - {when: {call: 1}, timeout: true}"),
        "s.yaml:5: tools.refund[1]: is never reached: tools.refund[0] is for the same calls",
    ),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[message[:70] for _, message in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.json").write_text('{"a":\n}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "nan.json").write_text('{"a": NaN}')
    (tmp_path / "twice.yml").write_text("id: w\nid: x\n")
    loaded = load_scenarios(agent, [])
    assert loaded.mistakes == ()
    (tmp_path / "twice.yml").rename(tmp_path / "twice.tmp")
    scenarios = tmp_path / "scenarios"
    scenarios.mkdir()
    for name in ("bad.json", "list.json", "nan.json"):
        (tmp_path / name).rename(scenarios / name)
    (scenarios / "worlds").mkdir()
    (tmp_path / "twice.tmp").rename(scenarios / "worlds" / "twice.yml")
    text = text.replace("twice.yml", "worlds/twice.yml")
    message = message.replace("twice.yml", "worlds/twice.yml")
    loaded = load(scenarios, s=text, good="id: good\n")
    assert told(loaded, scenarios) == [message]
    assert [scenario.id for scenario in loaded.scenarios] == ["default", "good"]


def test_what_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    files = {"a": "id: s\ntools: {\n", "b": "id: s\n\tx: 1\n", "c": "id: 'x\n", "d": "id: *nobody\n", "e": "id: a: b\n"}
    lines = {"a": 3, "b": 2, "c": 2, "d": 1, "e": 1}
    mistakes = told(load(tmp_path, **files), tmp_path)
    assert len(mistakes) == len(files)
    for (name, line), mistake in zip(lines.items(), mistakes, strict=True):
        assert mistake.startswith(f"{name}.yaml:{line}: is not valid YAML: "), mistake


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"id: \xff")
    (tmp_path / "b.yaml").write_bytes(b"id: s\ntitle: \x00")
    (tmp_path / "c.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "d.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "e.yaml").write_bytes(b"\xef\xbb\xbfid: with-a-mark")
    loaded = load(tmp_path)
    first, second, third = told(loaded, tmp_path)
    assert first == "a.yaml: is not UTF-8 (byte 4)"
    assert second.startswith("b.yaml:2: is not valid YAML: ")
    assert third == "c.yaml: is larger than 1 MiB"
    assert [scenario.id for scenario in loaded.scenarios] == ["default", "with-a-mark"]


def test_aliases_that_stand_for_too_much_are_refused(tmp_path: Path) -> None:
    levels = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
    assert told(load(tmp_path, s=f"id: s\npatch:\n  l0: &l0 [lol]\n{levels}"), tmp_path) == [
        "s.yaml:1: its aliases stand for too much"
    ]


def test_all_mistakes_of_all_files_are_told_at_once_and_the_rest_is_loaded(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        a="id: a\nextends: nobody\ntitel: x\ntools:\n  refnd: []\n  refund:\n    - {}\n",
        b="id: b\nextends: a\nworld: {file: no.json}\n",
        c="id: c\nextends: d\n",
        d="id: d\nextends: c\n",
        e="id: good\n",
        f="id: good\n",
        g="id: better\nextends: good\n",
    )
    assert told(loaded, tmp_path) == [
        "a.yaml:2: extends: there is no scenario nobody",
        "a.yaml:3: titel: there is no such key; did you mean title?",
        "a.yaml:5: tools.refnd: the agent has no such tool; did you mean refund?",
        "a.yaml:7: tools.refund[0]: does nothing; give error, return, timeout or delay",
        "b.yaml:2: extends: a has mistakes of its own",
        "b.yaml:3: world.file: no.json cannot be read: No such file or directory",
        "c.yaml:2: extends: d has mistakes of its own",
        "d.yaml:2: extends: goes round in a circle: c → d → c",
        f"f.yaml:1: id: good is the id of {tmp_path}/e.yaml:1 too",
    ]
    assert sorted(scenario.id for scenario in loaded.scenarios) == ["better", "default", "good"]
    assert loaded.files == 7


@pytest.mark.parametrize("numbers", [range(300), range(299, -1, -1)], ids=["lowest first", "highest first"])
def test_a_chain_of_extensions_is_bounded(tmp_path: Path, numbers: range) -> None:
    texts = [f"id: s{number}\n" + (f"extends: s{number - 1}\n" if number else "") for number in numbers]
    files = {f"f{place:03}": text for place, text in enumerate(texts)}
    loaded = load(tmp_path, **files)
    assert any("stands on more than 50 others" in mistake.text for mistake in loaded.mistakes)
    assert loaded.scenarios.find("s0") is not None


def test_a_broken_file_hides_the_agents_scenario_of_that_id_rather_than_pass_for_it(tmp_path: Path) -> None:
    own, mine = tmp_path / "own", tmp_path / "mine"
    own.mkdir()
    mine.mkdir()
    (own / "s.yaml").write_text("id: s\n")
    (mine / "s.yaml").write_text("id: s\ntitel: x\n")
    loaded = load_scenarios(agent, [Folder(own), Folder(mine)])
    assert loaded.scenarios.find("s") is None
    assert len(loaded.mistakes) == 1


def test_a_folder_that_is_not_there_is_a_mistake_unless_it_need_not_be(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert [str(mistake) for mistake in load_scenarios(agent, [Folder(missing)]).mistakes] == [
        f"{missing}: cannot be read: No such file or directory"
    ]
    assert load_scenarios(agent, [Folder(missing, optional=True)]).mistakes == ()


def test_other_files_beside_scenarios_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text("{")
    (tmp_path / "notes.md").write_text("id: s")
    (tmp_path / "folder.yaml").mkdir()
    loaded = load(tmp_path, s="id: s\n")
    assert (loaded.files, loaded.mistakes) == (1, ())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("No", "No"),
        ("y", "y"),
        ("2024-01-21", "2024-01-21"),
        ("2024-01-21T10:30:00Z", "2024-01-21T10:30:00Z"),
        ("10:30", "10:30"),
        ("1:30:00", "1:30:00"),
        ("012", "012"),
        ("0x1F", "0x1F"),
        ("+4912345", "+4912345"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-12", -12),
        (str(2**70), 2**70),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("null", None),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("|\n  two\n  lines", "two\nlines\n"),
    ],
)
def test_unquoted_words_are_read_as_json_reads_them(text: str, value: object) -> None:
    parsed = read_yaml(f"a: {text}\n12: b\non: c\n")
    assert (parsed.data, parsed.complaints) == ({"a": value, "12": "b", "on": "c"}, [])
    assert type(parsed.data["a"]) is type(value)


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    read_yaml(text)
    read_yaml(f"id: s\npatch: {text}")
