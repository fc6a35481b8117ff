"""Which files become knowledge, how they are cut, and what is said of those that cannot be read."""

import itertools
import os
import sys
from pathlib import Path

import pytest

from greenroom.agents.knowledge import Knowledge
from greenroom.agents.knowledge.cutting import cut
from greenroom.agents.knowledge.files import read_folder
from greenroom.sdk import Agent, AgentError, Turn
from greenroom.sdk.testing import play


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page, and the table of offsets that readers insist on."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
            f" /Contents {5 + 2 * number} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    bodies = [f"{number} 0 obj\n{body}\nendobj\n" for number, body in enumerate(objects, 1)]
    starts = list(itertools.accumulate((len(body) for body in bodies), initial=len("%PDF-1.4\n")))
    table = "".join(f"{start:010d} 00000 n \n" for start in starts[:-1])
    return (
        f"%PDF-1.4\n{''.join(bodies)}xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{starts[-1]}\n%%EOF\n"
    ).encode()


def sources(folder: Path) -> set[str]:
    return {passage.source for passage in read_folder(folder, 800).passages}


def test_markdown_text_and_pdf_are_read_at_any_depth_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("a.md", "b.MARKDOWN", "c.txt", "deep/er/d.md", ".e.md", ".git/f.md", "g.py", "h.md.bak"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text", encoding="utf-8")
    (tmp_path / "i.pdf").write_bytes(pdf("text"))
    assert sources(tmp_path) == {"a.md", "b.MARKDOWN", "c.txt", "deep/er/d.md", "i.pdf"}


async def test_a_passage_of_a_pdf_says_its_page(tmp_path: Path) -> None:
    (tmp_path / "manual.pdf").write_bytes(pdf("Press the green button.", "", "Press the red button."))
    knowledge = Knowledge(tmp_path, top=1)
    agent = Agent("manual", tools=[knowledge.tool])

    @agent.reply
    async def reply(turn: Turn) -> str:
        return await knowledge.context(turn)

    [answer] = await play(agent, ["Where is the red button?"])
    assert answer.text == "[1] manual.pdf, page 3\nPress the red button."
    assert '"page":3' in answer.tool_calls[0].result_json


def test_a_pdf_without_pypdf_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    (tmp_path / "b.pdf").write_bytes(pdf("text"))
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(AgentError, match=r"knowledge: b\.pdf needs pypdf: pip install 'greenroom\[knowledge\]'"):
        read_folder(tmp_path, 800)
    (tmp_path / "b.pdf").unlink()
    assert sources(tmp_path) == {"a.md"}


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, outside = tmp_path / "docs", tmp_path / "outside.md"
    (folder / "sub").mkdir(parents=True)
    outside.write_text("secret", encoding="utf-8")
    (folder / "good.md").write_text("good", encoding="utf-8")
    (folder / "latin.txt").write_bytes("für".encode("latin-1"))
    (folder / "utf16.md").write_text("text", encoding="utf-16")
    (folder / "empty.md").touch()
    (folder / "blank.txt").write_text(" \n\t\n", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(pdf("text")[:60])
    (folder / "no.pdf").write_bytes(b"\x00\xff" * 100)
    (folder / "scanned.pdf").write_bytes(pdf("", ""))
    (folder / "out.md").symlink_to(outside)
    (folder / "gone.md").symlink_to(folder / "nothing.md")
    (folder / "round.md").symlink_to(folder / "round.md")
    (folder / "up").symlink_to(tmp_path)
    (folder / "in.md").symlink_to(folder / "good.md")
    os.mkfifo(folder / "pipe.txt")
    with (folder / "huge.txt").open("wb") as huge:
        huge.truncate(32 * 1024 * 1024 + 1)
    library = read_folder(folder, 800)
    assert ({passage.source for passage in library.passages}, library.files) == ({"good.md", "in.md"}, 2)
    reasons = {name: why.partition(" (")[0] for name, why in library.left_out.items()}
    assert reasons.pop("round.md").startswith("it ")
    assert reasons == {
        "latin.txt": "it is not UTF-8",
        "utf16.md": "it is not UTF-8",
        "empty.md": "it has no text",
        "blank.txt": "it has no text",
        "broken.pdf": "it is no PDF that can be read",
        "no.pdf": "it is no PDF that can be read",
        "scanned.pdf": "it has no text",
        "out.md": "it is a link out of the folder",
        "gone.md": "it cannot be read",
        "pipe.txt": "it is no regular file",
        "huge.txt": "it has 33554433 bytes, and 33554432 are the most",
    }
    assert f"{folder / 'latin.txt'} is left out: it is not UTF-8 (byte 1)" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    (tmp_path / "shut").mkdir(mode=0)
    assert read_folder(tmp_path, 800).left_out == {"shut": "it cannot be read (Permission denied)"}


def test_a_folder_in_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"\xff")
    with pytest.raises(AgentError, match=r"has no Markdown, text or PDF file with text in it; latin\.txt it is not"):
        read_folder(tmp_path, 800)


def test_a_file_whose_name_is_not_utf_8_is_read(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff.md")).write_text("text", encoding="utf-8")
    assert sources(tmp_path) == {"r�.md"}


def cut_up(text: str, size: int = 800) -> list[tuple[str, str]]:
    return [(passage.heading, passage.text) for passage in cut(text, "a.md", size)]


def test_headings_of_both_kinds_divide_and_are_kept_with_what_stands_below() -> None:
    text = "before\n\n# One #\na\n\nb\n### Deep\nc\n## Two\nd\n\nThree\n=====\ne\n\nFour\n---\nf\n"
    assert cut_up(text) == [
        ("", "before"),
        ("One", "a\n\nb"),
        ("One > Deep", "c"),
        ("One > Two", "d"),
        ("Three", "e"),
        ("Three > Four", "f"),
    ]


def test_a_heading_in_a_block_of_code_is_none() -> None:
    text = "# Real\n\n```sh\n# a comment\n\n## another\n```\n\n~~~\n# and\n```\n~~~\n#no heading\n"
    assert cut_up(text) == [("Real", "```sh\n# a comment\n\n## another\n```\n\n~~~\n# and\n```\n~~~\n#no heading")]


def test_front_matter_is_no_text_but_for_its_title() -> None:
    assert cut_up("---\ntitle: 'Guide'\ntags: [a]\n---\n# Start\ntext") == [("Guide > Start", "text")]
    assert cut_up("---\nno front matter, a rule\n---\ntext")[-1][1].endswith("text")


def test_paragraphs_are_packed_and_never_pass_the_size() -> None:
    paragraphs = [f"Paragraph {n} " + "word " * 12 for n in range(40)]
    pieces = cut_up("\n\n".join(paragraphs), 200)
    assert all(len(text) <= 200 for _, text in pieces)
    assert len(pieces) == 20
    assert "".join("".join(text.split()) for _, text in pieces) == "".join("".join(p.split()) for p in paragraphs)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("".join(f"Sentence {n} is short. " for n in range(50)), "."),
        ("".join(f"- line {n} of a list\n" for n in range(50)), "list"),
        ("".join(f"words{n} and " for n in range(99)), ("and", *(f"words{n}" for n in range(99)))),
        ("".join(f"{n}xx" for n in range(200)), ""),
        ("".join(f"これは{n}文です。" for n in range(99)), "。"),
    ],
)
def test_a_paragraph_that_is_too_long_is_cut_where_it_hurts_least(text: str, ends: str | tuple[str, ...]) -> None:
    pieces = [piece for _, piece in cut_up(f"# H\n{text}", 150)]
    assert all(len(piece) <= 150 and piece.endswith(ends) for piece in pieces)
    assert "".join("".join(piece.split()) for piece in pieces) == "".join(text.split())


def test_documents_that_a_prompt_numbers_are_apart() -> None:
    text = "[1] The first.\n\nMore of it.\n\n[2] The second.\n\nDocument 3: The third.\n\n[4](link) is a link."
    assert [piece for _, piece in cut_up(text)] == [
        "[1] The first.\n\nMore of it.",
        "[2] The second.",
        "Document 3: The third.\n\n[4](link) is a link.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x01 text \u2028 \ufeff",
        "# " + "h" * 100_000 + "\ntext",
        "text\r\nwith\rlines",
        "#" * 100_000 + " text",
        "```\nnever closed",
        "text " * 200_000,
        "-\n" * 100_000 + "text",
        "---\n" * 50_000 + "text",
        "---\n" + "a: b\n" * 100_000 + "text",
        "---\n" + "\n" * 100_000 + "text",
        "---\n" + "-a: b\n" * 100_000 + "text",
        "# text" + " " * 200_000 + "x" + " #" * 200_000 + "x\ntext",
        "[1]" * 100_000 + " text",
        "text" + "." * 500_000,
        "text\udc80",
    ],
    ids=range(15),
)
def test_no_text_is_too_odd_to_be_cut(text: str) -> None:
    passages = cut(text, "a.md", 800)
    assert passages
    for passage in passages:
        assert 0 < len(passage.text) <= 800
        assert len(passage.heading) <= 600
        assert passage.text.isprintable() or not set(passage.text) & {"\x00", "\r", "\x01", "\ufeff"}
        passage.text.encode()
