import pytest

from trajgen_assets.core.dashboard.text import all_visible, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext\r\nin two lines", "plain\n\ttext\r\nin two lines"),
        ("\x1b[31mred\x1b[0m\x1b[K", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "␛]8;;http://x␇link␛]8;;␇"),
        ("\x1b[2J\x1b[H", "␛[2J␛[H"),
        ("a\rb", "a␍b"),
        ("user\u202eexe.txt", "user⟨U+202E⟩exe.txt"),
        ("\u2066x\u2069\u200e", "⟨U+2066⟩x⟨U+2069⟩⟨U+200E⟩"),
        ("\ud800x\udfff", "⟨U+D800⟩x⟨U+DFFF⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("a\u2028b\ufeff\x00\x7f\x85", "a⟨U+2028⟩b⟨U+FEFF⟩␀␡⟨U+0085⟩"),
        ("שלום 👩‍💻 é", "שלום 👩‍💻 é"),
    ],
)
def test_what_hides_or_reorders_is_shown_and_what_is_text_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_shown_text_holds_nothing_more_to_show() -> None:
    text = "".join(map(chr, [*range(0x3000), 0xD801, 0xFEFF, 0xE0020]))
    assert visible(visible(text)) == visible(text)


def test_every_text_of_a_value_is_shown_names_too() -> None:
    assert all_visible({"\x00": ["\x07", ("\x08", 1, None)]}) == {"␀": ["␇", ["␈", 1, None]]}
