import os

from hypothesis import given
from hypothesis import strategies as st

from vilaco.errors import ImageError
from vilaco.names import as_text, one_line


@given(st.binary(min_size=1))
def test_any_name_becomes_text_and_one_line(name: bytes) -> None:
    text = as_text(os.fsdecode(name))
    text.encode()
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert "\x1b" not in line
    assert one_line(line) == line
    assert one_line(os.fsdecode(name)).encode()


def test_ordinary_names_stay_as_they_are() -> None:
    for name in (
        "holiday/beach.jpg",
        "Ünïcödé 写真.jpg",
        "emoji 👩‍👩‍👧.jpg",
        "narrow\u202fspace.png",
        "back\\slash.jpg",
    ):
        assert one_line(as_text(name)) == name


def test_errors_name_a_file_on_one_line() -> None:
    error = ImageError("two\nlines\u202e.jpg", "the file is empty", code="empty")
    assert str(error) == "two\\nlines\\u202e.jpg: the file is empty"
    assert error.source == "two\nlines\u202e.jpg"
