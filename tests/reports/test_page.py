"""The building blocks of a page: whatever the text, it is shown and never obeyed."""

import html.parser

import pytest

from digits_jax.reports import drawing, page

HOSTILE = "</table><script>alert(1)</script> & \"quoted\" 'text' $body"
USUAL, WIDE = drawing.new_figure(2.0), drawing.new_figure(2.0, width=10.0)

BLOCKS = {
    "heading": page.section(HOSTILE),
    "paragraph": page.element("p", HOSTILE, class_="note"),
    "column": page.table([HOSTILE], [["a"]], "caption"),
    "row": page.table(["a", "b"], [[HOSTILE, "c"]], "caption"),
    "cell": page.table(["a", "b"], [["c", HOSTILE]], "caption"),
    "table's caption": page.table(["a"], [["b"]], HOSTILE),
    "picture's caption": page.picture("name", USUAL, "description", HOSTILE),
    "text before an element": page.element("summary", HOSTILE, page.element("b", "inside")),
}


def parsed(text):
    tags, shown = [], []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.handle_data = shown.append
    parser.feed(text)
    parser.close()
    return tags, "".join(shown)


@pytest.mark.parametrize("block", ["title", *BLOCKS])
def test_text_is_shown_as_it_is(block):
    title, body = (HOSTILE, []) if block == "title" else ("title", [BLOCKS[block]])
    tags, shown = parsed(page.page(title, body))
    assert HOSTILE in shown
    assert [tag for tag, _ in tags].count("script") == 1  # the page's own


def test_a_description_is_an_attribute_and_nothing_more():
    tags, _ = parsed(page.page("title", [page.picture(HOSTILE, USUAL, HOSTILE, "caption")]))
    ((_, image),) = [(tag, attributes) for tag, attributes in tags if tag == "img"]
    assert image["alt"] == HOSTILE
    assert (image["width"], image["height"]) == ("480", "200")


@pytest.mark.parametrize(("figure", "boxes"), [(USUAL, 0), (WIDE, 1)])
def test_only_a_wide_picture_scrolls_in_a_box(figure, boxes):
    picture = page.picture("name", figure, "description", "caption")
    assert len(picture.findall("*[@class='box']")) == boxes


def test_a_page_is_titled_and_in_a_language():
    tags, _ = parsed(page.page("Report", [page.element("h1", "Report")]))
    assert ("html", {"lang": "en"}) in tags
    assert [tag for tag, _ in tags].count("title") == 1
    assert ("meta", {"charset": "utf-8"}) in tags
