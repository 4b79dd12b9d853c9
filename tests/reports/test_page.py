"""The building blocks of a page: whatever the text, it is shown and never obeyed."""

import html.parser
import struct

import pytest

from digits_jax.reports import page

HOSTILE = "</table><script>alert(1)</script> & \"quoted\" 'text' $body"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 960, 400)
WIDE_PNG = PNG[:16] + struct.pack(">II", 2000, 400)

BLOCKS = {
    "title": page.page(HOSTILE, []),
    "heading": page.heading(2, HOSTILE),
    "paragraph": page.paragraph(HOSTILE, "note"),
    "column": page.table([HOSTILE], [["a"]], "caption"),
    "row": page.table(["a", "b"], [[HOSTILE, "c"]], "caption"),
    "cell": page.table(["a", "b"], [["c", HOSTILE]], "caption"),
    "table's caption": page.table(["a"], [["b"]], HOSTILE),
    "picture's caption": page.picture(PNG, "description", HOSTILE),
    "summary": page.details(HOSTILE, page.paragraph("inside")),
}


def parsed(text):
    tags, shown = [], []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.handle_data = shown.append
    parser.feed(text)
    parser.close()
    return tags, "".join(shown)


@pytest.mark.parametrize("block", BLOCKS)
def test_text_is_shown_as_it_is(block):
    tags, shown = parsed(BLOCKS[block])
    assert HOSTILE in shown
    assert "script" not in {tag for tag, _ in tags}


def test_a_description_is_an_attribute_and_nothing_more():
    tags, _ = parsed(page.picture(PNG, HOSTILE, "caption"))
    ((_, image),) = [(tag, attributes) for tag, attributes in tags if tag == "img"]
    assert image["alt"] == HOSTILE
    assert (image["width"], image["height"]) == ("480", "200")


def test_only_a_wide_picture_scrolls_in_a_box():
    assert 'class="box"' not in page.picture(PNG, "description", "caption")
    assert 'class="box"' in page.picture(WIDE_PNG, "description", "caption")


def test_a_page_is_titled_and_in_a_language():
    tags, _ = parsed(page.page("Report", [page.heading(1, "Report")]))
    assert ("html", {"lang": "en"}) in tags
    assert [tag for tag, _ in tags].count("title") == 1
    assert ("meta", {"charset": "utf-8"}) in tags
