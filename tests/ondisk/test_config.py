"""The grammar of lvm2's config text (libdm-config.c), and the places that errors name."""

from __future__ import annotations

import time

import pytest

from cryptlv.errors import FormatError
from cryptlv.model.nodes import Section
from cryptlv.ondisk.config import (
    MAX_DEPTH,
    MAX_TEXT_BYTES,
    MAX_WORD_BYTES,
    Allowance,
    find_place,
    parse_config,
    render_key,
    render_value,
)


def items(text: bytes | str) -> tuple[tuple[str, object], ...]:
    return parse_config(text).items


def value(text: str) -> object:
    ((_, found),) = items(f"key = {text}")
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1),
        ("-1", -1),
        ("+7", 7),
        ("007", 7),
        ("0755", 0o755),
        ("-017", -15),
        ("+010", 8),
        ("00", 0),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.5", 1.5),
        ("-2.25", -2.25),
        (".5", 0.5),
        ("5.", 5.0),
        ('"text"', "text"),
        ('""', ""),
        (r'"a\"b\\c"', 'a"b\\c'),
        (r'"only \n these two"', r"only \n these two"),
        ('"two\nlines # and {braces} = [1]"', "two\nlines # and {braces} = [1]"),
        ("'raw \\ \" text'", 'raw \\ " text'),
        ("bare-word", "bare-word"),
        ("[]", ()),
        ("[ ]", ()),
        ("[1]", (1,)),
        ("[1,2]", (1, 2)),
        ('["pv0", 0,]', ("pv0", 0)),
        ('[\n"pv0", 0, # comment\n"pv1", 010\n]', ("pv0", 0, "pv1", 8)),
    ],
)
def test_value_is_read_as_lvm2_reads_it(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_items_stand_with_and_without_spaces() -> None:
    expected = (("a", 1), ("b", "x"), ("c", (1, "y")), ("s", Section(items=(("d", 2),))))
    assert items('a=1 b="x" c=[1,"y"] s{d=2}') == expected
    assert items('a = 1\n\tb = "x"\r\nc = [ 1 , "y" ]\ns {\n d = 2\n}\n') == expected


def test_keys_are_words_quoted_or_raw() -> None:
    assert items("""vg-with--hyphens.and+plus = 1 "a \\" b" = 2 'c\\d' = 3 a,b[0] = 4""") == (
        ("vg-with--hyphens.and+plus", 1),
        ('a " b', 2),
        ("c\\d", 3),
        ("a,b[0]", 4),
    )


def test_slash_in_a_key_makes_sections() -> None:
    assert items("a/b/c = 1") == (("a", Section(items=(("b", Section(items=(("c", 1),))),))),)
    assert items("a/b { c = 1 }") == items("a/b/c = 1")


def test_duplicate_keys_are_kept_and_the_first_is_found() -> None:
    section = parse_config("a = 1 a = 2")
    assert section.items == (("a", 1), ("a", 2))
    assert section.get("a") == 1


def test_comments_stand_between_any_two_tokens() -> None:
    text = '# "first\na # b\n= # c {\n1 # } \n s # x\n{ # y\n b = [ # z\n 1 # 5\n , # 6 \n 2 ] } # end'
    assert items(text) == (("a", 1), ("s", Section(items=(("b", (1, 2)),))))


def test_hash_ends_a_bare_word() -> None:
    assert items("a = b#c\nd = 1#2") == (("a", "b"), ("d", 1))


@pytest.mark.parametrize("end", ["\0", '\0 }}} "', "\0\0\0"])
def test_nul_ends_the_text(end: str) -> None:
    assert items(f"a = 1\n{end}") == (("a", 1),)


@pytest.mark.parametrize("text", ["", " \n\t", "# only a comment", "\0", b""])
def test_empty_text_is_an_empty_section(text: bytes | str) -> None:
    assert items(text) == ()


def test_bytes_that_are_not_utf8_pass_through() -> None:
    ((_, found),) = items(b'a = "\xff\xfe\xc3\xa9"')
    assert isinstance(found, str)
    assert found.encode("utf-8", "surrogateescape") == b"\xff\xfe\xc3\xa9"


def test_long_strings_and_many_items_survive() -> None:
    long = "x" * 5000
    assert value(f'"{long}"') == long
    many = "\n".join(f"key{number} = {number}" for number in range(5000))
    assert len(items(many)) == 5000


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("a = 1 }", None),
        ("a {", 3),
        ("a { b = 1", 9),
        ("a { b { }", 9),
        ("a", 1),
        ("a 1", 2),
        ("a = ", 4),
        ("a = }", 4),
        ("a = =", 4),
        ("a = { }", 4),
        ("a = [1 2]", 7),
        ("a = [1, [2]]", 8),
        ("a = [1", 6),
        ("a = [1, ", 8),
        ("a = [,]", 5),
        ("a = 0x10", 4),
        ("a = 1e5", 4),
        ("a = 1-2", 4),
        ("a = +", 4),
        ("a = 12abc", 4),
        ("= 1", 0),
        ("{ }", 0),
        ("\u00e9\u00e9 = [1 2]", 10),
    ],
)
def test_broken_text_is_refused_with_the_byte_where_it_breaks(text: str, offset: int | None) -> None:
    with pytest.raises(FormatError) as caught:
        parse_config(text.encode())
    assert caught.value.field == "text"
    assert caught.value.offset_bytes is not None
    if offset is not None:
        assert caught.value.offset_bytes in {offset, offset - 1}  # the token, or the blank before it
        assert f"at byte {caught.value.offset_bytes}" in str(caught.value)


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "9" * 5000, "07" + "7" * 30])
def test_integer_beyond_64_bits_is_refused(number: str) -> None:
    with pytest.raises(FormatError):
        parse_config(f"a = {number}")


@pytest.mark.parametrize("text", ['a = "x', "a = 'x", 'a = "x\\"', 'a = ["x, 1]', '"a = 1', 'a { b = "}', 'a = "\\'])
def test_unterminated_string_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_config(text)


def test_comment_before_an_unterminated_string_is_not_read_as_a_value() -> None:
    with pytest.raises(FormatError):
        parse_config("a = # it's 5\n 'x = 1\n")


@pytest.mark.parametrize("before", [" " * 22, "#" * 22 + "\n", " \n" * 11])
def test_space_before_an_unterminated_string_takes_no_time(before: str) -> None:
    started = time.monotonic()
    with pytest.raises(FormatError):
        parse_config(f'a = {before}"x')
    assert time.monotonic() - started < 0.3


def test_sections_may_be_nested_to_the_limit_and_not_deeper() -> None:
    def nested(depth: int) -> str:
        return "s {" * depth + "}" * depth

    assert items(nested(MAX_DEPTH))
    with pytest.raises(FormatError, match="deep"):
        parse_config(nested(MAX_DEPTH + 1))
    with pytest.raises(FormatError, match="deep"):
        parse_config("s {" * 100_000)


def test_slashes_do_not_nest_deeper_than_the_limit_either() -> None:
    with pytest.raises(FormatError, match="deep"):
        parse_config("a/" * 5000 + "a = 1")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (0, "0"),
        (-5, "-5"),
        (1.5, "1.500000"),
        ("", '""'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("two\nlines", '"two\nlines"'),
        ((), "[]"),
        (("READ", "WRITE"), '["READ", "WRITE"]'),
        (("pv0", 3), '["pv0", 3]'),
    ],
)
def test_value_is_rendered_as_stock_writes_it(found: float | str | tuple[str, ...], expected: str) -> None:
    assert render_value(found) == expected


@pytest.mark.parametrize("key", ["a", "vg-x.y+z", "a b", 'a"b', "a\\b", "a/b", "", "#a", "a=b", "{", "'", "a,b", "é"])
def test_rendered_key_is_read_as_the_same_key(key: str) -> None:
    assert items(f"{render_key(key)} = 1") == ((key, 1),)


def test_plain_keys_are_rendered_without_quotes() -> None:
    assert render_key("cryptostore1") == "cryptostore1"
    assert render_key("a b") == '"a b"'


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (("vg",), b"vg {"),
        (("vg", "b"), b"b = 2"),
        (("vg", "sub", "b"), b"b = 3"),
        (("vg", "sub", "gone"), b"sub {"),
        (("vg", "gone", "b"), b"vg {"),
        (("last",), b"last"),
        (("vg", "late"), b"late"),
    ],
)
def test_places_of_items_are_found(path: tuple[str, ...], word: bytes) -> None:
    text = b'# \xc3\xa9 vg {\nvg { a = "vg { b = 1" other { b = [1, 2] gone = 1 } b = 2 sub { b = 3 } late = 1 }\n'
    text += b"last = 1\n"
    assert text[find_place(text, path) :].startswith(word)
    assert find_place(text, ("none",)) == 0
    assert find_place(b"{", path) == 0


def test_words_and_texts_have_a_length_that_is_read() -> None:
    for words in ('"{}"', "'{}'", "{}"):
        assert value(words.format("x" * (MAX_WORD_BYTES - 2)))
        with pytest.raises(FormatError, match="too long"):
            value(words.format("x" * (MAX_WORD_BYTES + 1)))
    assert items("# " + "x" * MAX_WORD_BYTES * 3 + "\na = 1") == (("a", 1),)
    with pytest.raises(FormatError, match="too long"):
        parse_config(bytes(MAX_TEXT_BYTES + 1))


def test_what_the_tree_takes_of_memory_is_limited_for_all_texts_together() -> None:
    allowance = Allowance(100_000)
    for _ in range(2):
        parse_config("a = 1 " * 100, allowance=allowance)
    with pytest.raises(FormatError, match="more in the metadata"):
        parse_config("a = [1, 2, 3] b { } " * 100, allowance=allowance)


def test_depth_counts_slashes_and_braces_alike() -> None:
    with pytest.raises(FormatError, match="nested"):
        parse_config("a/b/c { " * 11 + "}" * 11)
    assert items("a/b/c { " * 10 + "}" * 10)
