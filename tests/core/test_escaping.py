"""Untrusted text stays text, wherever it is shown."""

import html
import re
import time

from html.parser import HTMLParser

import pytest

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_orxaq.core.escaping import (
    ansi_to_html,
    markdown_block,
    markdown_inline,
    markdown_text,
    plain,
    terminal,
    visible,
    workflow_data,
    workflow_lines,
    workflow_property,
)


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            ["<script>", "</pre>", "</code>", "```", "\n\n", "|", "`", "**", "__", "_", "[a](b)", "![x](y)", "<!--", "]]>",
             "&lt;", "1. ", "- ", "# ", "> ", "\\", "@user", "#12", "::error::", "##[error]", "\x1b[31m", "\x1b]0;x\x07", "\x9b2J",
             "\u202e", "\x00", "\r", "\r\n", "\udc80", ":tada:", "~~", "    ", "\t", "http://e.com", "www.e.com", "%", ",", "a"]
        ),
        st.text(max_size=6),
    ),
    max_size=12,
).map("".join)  # fmt: skip

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)


class Page(HTMLParser):
    """The tags and the text of an HTML page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Remember the tag."""
        del attrs
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        """A comment hides text: as bad as a tag."""
        self.tags.append(f"comment {data}")

    def handle_data(self, data: str) -> None:
        """Remember the text."""
        self.text += data


def words(text: str) -> list[str]:
    """The text's words as a reader sees them."""
    return plain(re.sub(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text)).split()


@given(HOSTILE)
def test_nothing_unseen_is_left(text: str) -> None:
    """No control character, direction mark or lone surrogate comes through, and the result can be encoded."""
    for shown in (
        visible(text),
        plain(text),
        terminal(text),
        workflow_data(text),
        markdown_text(text),
        markdown_block(text),
    ):
        assert not UNSEEN.search(shown)
        shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("a\x7fb", "a␡b"),
        ("a\x85b", "a\\x85b"),
        ("a\u202eb", "a\\u202eb"),
        ("a\udc80b", "a\\udc80b"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("50 %\rdone", "50 %␍done"),
    ],
)
def test_controls_become_visible(text: str, shown: str) -> None:
    """A control character is shown by its picture or its number; line ends and tabs stay."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[31;1m",
        "\x1b[2J",
        "\x9b1;1H",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bP1$q\x1b\\",
        "\x1b(B",
        "\x1bc",
        "#x1B[31m",
    ],
)
def test_terminal_sequences_go(sequence: str) -> None:
    """Colours, cursor moves, titles and links leave nothing behind."""
    assert plain(f"a{sequence}b") == "ab"


def test_an_open_sequence_hides_one_line_at_most() -> None:
    """A title that never ends does not swallow what follows on the next line."""
    assert plain("a\x1b]0;never\nFAILED") == "a\nFAILED"


def test_colours_may_stay_and_end_with_the_text() -> None:
    """Where colours are wanted only they stay, and they do not run on into what is printed next."""
    assert terminal("\x1b[31mred\x1b[2J", colour=True) == "\x1b[31mred\x1b[0m"
    assert terminal("plain", colour=True) == "plain"
    assert terminal("#x1B[31mred", colour=True) == "\x1b[31mred\x1b[0m"


@given(HOSTILE)
def test_a_coloured_text_steers_nothing_but_colours(text: str) -> None:
    """What is left after the colours are taken out holds no control character."""
    assert not UNSEEN.search(re.sub(r"\x1b\[[0-9;:]*m", "", terminal(text, colour=True)))


MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@given(HOSTILE)
def test_markdown_inline_stays_in_its_cell(text: str) -> None:
    """In a table cell the text makes no markup of its own and is whole."""
    page = Page(MARKDOWN.render(f"| a | b |\n|---|---|\n| {markdown_inline(text)} | end |\n"))
    assert [tag for tag in page.tags if tag not in {"table", "thead", "tbody", "tr", "th", "td"}] == ["code"]
    assert page.text.split()[2:] == [*words(text), "end"]


@given(HOSTILE)
def test_markdown_words_are_one_paragraph(text: str) -> None:
    """At the start of a line the text begins no list, heading, quote or code, and is whole."""
    page = Page(MARKDOWN.render(f"{markdown_text(text)}\n\nend\n"))
    assert set(page.tags) <= {"p"}
    assert page.text.replace("\u200b", "").split() == [*" ".join(words(text)).replace("\u200b", "").split(), "end"]


def test_markdown_words_mention_nobody() -> None:
    """A name after an at sign is neither notified nor linked, nor is the number of an issue."""
    shown = html.unescape(markdown_text("@octocat broke #12"))
    assert "@\u200boctocat" in shown
    assert "#\u200b12" in shown


def test_markdown_stays_readable_raw() -> None:
    """Harmless punctuation is left as it is."""
    assert markdown_text("Failed: 3 of 4 tests, at last.") == "Failed: 3 of 4 tests, at last."
    assert markdown_text(" X*a\tb X\n") == "X&#42;a b X"
    assert markdown_block("a <b>\r\nc") == "<pre>\na &lt;b&gt;\nc\n</pre>"
    assert markdown_inline("python -m pytest tests/test_a.py") == "<code>python -m pytest tests/test_a.py</code>"


@given(HOSTILE)
def test_markdown_block_cannot_be_left(text: str) -> None:
    """Inside details a block ends where we end it."""
    page = Page(MARKDOWN.render(f"<details><summary>x</summary>\n\n{markdown_block(text)}\n\n</details>\n\nend\n"))
    assert page.tags == ["details", "summary", "pre", "p"]
    assert page.text.split() == ["x", *words(text), "end"]


@given(HOSTILE)
def test_workflow_commands_hold_their_text(text: str) -> None:
    """A command stays one line, and a property cannot end early."""
    assert not set("\r\n") & set(workflow_data(text))
    assert not set("\r\n:,") & set(workflow_property(text))


def test_workflow_commands_spell_as_the_runner_reads() -> None:
    """The runner turns these escapes, and no others, back into the text."""
    assert workflow_data("50 %\r\na: b, c") == "50 %25%0Aa: b, c"
    assert workflow_property("a: b, c") == "a%3A b%2C c"


def test_a_neutralised_line_can_still_be_read() -> None:
    """What would be a workflow command is parted by a blank, and nothing else is touched."""
    assert workflow_lines("a::b\r\n  ::error::c\n##[group]d") == "a::b\n  : :error::c\n# #[group]d"


@given(HOSTILE)
def test_no_line_is_a_workflow_command(text: str) -> None:
    """In neutralised output no line begins a command, in the new spelling or the old."""
    for line in re.split(r"[\r\n\x0b\x0c\x85\u2028\u2029]", workflow_lines(text)):
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


@given(HOSTILE)
def test_colours_become_spans_and_nothing_else(text: str) -> None:
    """The HTML of coloured text holds spans only, and the text is whole."""
    page = Page(ansi_to_html(text))
    assert set(page.tags) <= {"span"}
    assert page.text == plain(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m on", '<span class="sgr-1">red</span> on'),
        ("\x1b[1;92mok\x1b[22m!\x1b[39m.", '<span class="sgr-2 sgr-bold">ok</span><span class="sgr-2">!</span>.'),
        ("\x1b[38;5;208morange\x1b[m", "orange"),
        ("\x1b[38;2;1;2;3;4munder\x1b[24m", '<span class="sgr-underline">under</span>'),
        ("\x1b[44mback", "back"),
        ("\x1b[38:5:3morange", "orange"),
        ("\x1b[48;5;1mback", "back"),
        ("\x1b[58;5;1mline", "line"),
        ("\x1b[38;5;208;3mit", '<span class="sgr-italic">it</span>'),
        ("\x1b[38;2;3mcut", "cut"),
        ("\x1b[38mcut", "cut"),
        ("\x1b[01mbold", '<span class="sgr-bold">bold</span>'),
        ("\x1b[30mblack", '<span class="sgr-0">black</span>'),
        ("#x1B[3mit", '<span class="sgr-italic">it</span>'),
        ("\x1b[31m\x1b[32m<b>", '<span class="sgr-2">&lt;b&gt;</span>'),
    ],
)
def test_colours_in_html(text: str, shown: str) -> None:
    """Colours and emphasis have classes; palettes and backgrounds are left out."""
    assert ansi_to_html(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "\x9d" * 300_000 + "\x1b",
        "\x1b]" * 150_000,
        "\x1b[" * 150_000,
        "\x1b[" + "1;" * 150_000,
        "\n" * 300_000,
        " \n:" * 100_000,
    ],
    ids=range(6),
)
def test_a_hostile_flood_costs_its_length(text: str) -> None:
    """Sequences that never end do not stop the report."""
    began = time.monotonic()
    for change in (plain, ansi_to_html, markdown_block, markdown_inline, markdown_text, workflow_data, workflow_lines):
        change(text)
    terminal(text, colour=True)
    assert time.monotonic() - began < 20
