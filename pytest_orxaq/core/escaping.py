"""Make untrusted text harmless where it is shown: Markdown, terminal, XML, HTML, GitHub workflow commands.

Whatever cannot be shown is replaced by something that can be seen, never dropped in silence: text that hides
is how a report lies.
"""

import html
import re


# Sequences that steer a terminal: CSI (cursor, colour), OSC and its kin with their payload, and two-byte escapes.
# An OSC without its end swallows a line at most, or one stray byte would hide all that follows.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\n\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c|(?=[\n\x1b])|\Z)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# pytest writes ESC into its JUnit files as "#x1B"; others as the picture of it.
_SPELLED_ESCAPE = re.compile(r"(?:#x1B|\u241b)(?=\[[0-9;:]*m)")

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSEEN = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
# Every punctuation mark but those that mean nothing where they stand, so that the raw text can be read as well.
# In words "." may number a list or begin an address, ":" an emoji; in code, which no line begins with, they may not.
_IN_WORDS = re.compile(
    r"(?![,;'\"()/?%]|(?<=[a-z])\.(?:\s|$)|:(?:\s|$)|(?<=[A-Za-z0-9])[-_](?=[A-Za-z0-9]))[!-/:-@\[-`{-~]"
)
_IN_CODE = re.compile(r"(?![,;'\"()/?%=+]|(?<!www)(?<!WWW)\.|:(?!/)|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])|-)[!-/:-@\[-`{-~]")
_LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")


def visible(text: str) -> str:
    """The text with every control character shown as a picture or an escape; line ends and tabs stay."""
    return _UNSEEN.sub(_picture, text.replace("\r\n", "\n"))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def plain(text: str) -> str:
    """The text without colours and other terminal sequences, with what is left made visible."""
    return visible(_SEQUENCE.sub("", _SPELLED_ESCAPE.sub("\x1b", text)))


def one_line(text: str) -> str:
    """The text as words inside a sentence, plain and without line ends and tabs."""
    # In Markdown, four blanks at the front would make code of it, and a blank at the end a line break.
    return plain(_LINE_END.sub("\n", text)).replace("\n", " ").replace("\t", " ").strip(" ")


def terminal(text: str, *, colour: bool = False) -> str:
    """Text that can be printed to a terminal; colours stay only where asked for, and end with the text."""
    if not colour:
        return plain(text)
    pieces: list[str] = []
    end = 0
    text = _SPELLED_ESCAPE.sub("\x1b", text)
    for match in _COLOUR.finditer(text):
        pieces += (plain(text[end : match.start()]), match[0])
        end = match.end()
    pieces.append(plain(text[end:]))
    return "".join(pieces) + ("\x1b[0m" if end else "")


# ---------------------------------------------------------------- Markdown


def markdown_text(text: str) -> str:
    """Words inside a Markdown line: nothing in them is markup, a mention or a reference to an issue."""
    # Entities alone keep the parser out; GitHub finds mentions and references later, in the parsed text.
    return _IN_WORDS.sub(lambda m: f"&#{ord(m[0])};" + ("&#8203;" if m[0] in "@#" else ""), one_line(text))


def markdown_inline(text: str) -> str:
    """The text as code inside a Markdown line or table cell."""
    return "<code>" + _IN_CODE.sub(lambda m: f"&#{ord(m[0])};", one_line(text)) + "</code>"


def markdown_block(text: str) -> str:
    """The text as a block of code in Markdown; no fence, because a fence can be closed from inside."""
    return "<pre>\n" + html.escape(plain(_LINE_END.sub("\n", text))) + "\n</pre>"


# ---------------------------------------------------------------- GitHub workflow commands


def workflow_data(text: str) -> str:
    """The text as the message of a workflow command."""
    return plain(_LINE_END.sub("\n", text)).replace("%", "%25").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """The text as the value of a workflow command's property."""
    return workflow_data(text).replace(":", "%3A").replace(",", "%2C")


def workflow_lines(text: str) -> str:
    """Output for a GitHub log in which no line is a workflow command."""
    # The runner looks for "::" at a line's first visible character and for "##[" anywhere in it.
    text = re.sub(r"(?m)^([^\S\n]*):(?=:)", r"\1: ", _LINE_END.sub("\n", text))
    return text.replace("##[", "# #[")


# ---------------------------------------------------------------- colours to HTML


def ansi_to_html(text: str) -> str:
    """The text as HTML: escaped, its colours as ``<span class="sgr-…">``, other sequences gone."""
    pieces: list[str] = []
    style: dict[str, str] = {}
    end = 0
    text = _SPELLED_ESCAPE.sub("\x1b", text)
    for match in _COLOUR.finditer(text):
        pieces.append(_span(text[end : match.start()], style))
        style = _styled(style, match[0][2:-1])
        end = match.end()
    pieces.append(_span(text[end:], style))
    return "".join(pieces)


def _span(text: str, style: dict[str, str]) -> str:
    escaped = html.escape(plain(text))
    if not escaped or not style:
        return escaped
    return f'<span class="{" ".join(sorted(style.values()))}">{escaped}</span>'


_ATTRIBUTES = {"1": "bold", "2": "faint", "3": "italic", "4": "underline"}
_ENDS = {"22": ("bold", "faint"), "23": ("italic",), "24": ("underline",), "39": ("colour",)}


def _styled(style: dict[str, str], codes: str) -> dict[str, str]:
    """The style after one SGR sequence; backgrounds and palettes are left out, they ruin contrast."""
    style = dict(style)
    numbers = iter(codes.replace(":", ";").split(";"))
    for number in numbers:
        code = number.lstrip("0") or "0"
        if code == "0":
            style.clear()
        elif code in {"38", "48", "58"}:  # a palette: skip its arguments, 5;n or 2;r;g;b
            for _ in range(1 if next(numbers, "") == "5" else 3):
                next(numbers, "")
        elif code in _ATTRIBUTES:
            style[_ATTRIBUTES[code]] = f"sgr-{_ATTRIBUTES[code]}"
        elif code in _ENDS:
            for key in _ENDS[code]:
                style.pop(key, None)
        elif len(code) == 2 and code[0] in "39" and code[1] in "01234567":
            style["colour"] = f"sgr-{code[1]}"
    return style
