"""The page in a real browser: its arithmetic against JAX, its controls as a reader uses them."""

import base64
from pathlib import Path

import jax
import numpy as np
import pytest

from digits_jax import Config, export, make_model
from digits_jax.export import html
from digits_jax.gradients import autodiff
from digits_jax.layers import Affine
from digits_jax.losses import LOSSES

KINDS = ("classic", "tanh", "relu", "gelu", "silu")
PREDICT = """([images, index]) => {
    const levels = Uint8Array.from(atob(images), (character) => character.charCodeAt(0));
    return Array.from({ length: levels.length / 784 }, (_, n) =>
        digits.predict(levels.subarray(784 * n, 784 * n + 784), index));
}"""
GRADIENT = "([image, label, index]) => digits.gradient(image, label, index)"


def predict(page, images, index):
    """The page's logits; images travel as text, as a list of numbers takes seconds."""
    return page.evaluate(PREDICT, [base64.b64encode(images.tobytes()).decode(), index])


@pytest.fixture(scope="module")
def file(tmp_path_factory, sources):
    """The page of one network of every kind of layer."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html.make([sources[kind] for kind in KINDS]), "utf-8")
    return path


@pytest.fixture(scope="module")
def page(open_page, file):
    return open_page(file)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_jax(page, sources, splits, kind):
    images, model = splits.test.images[:200], sources[kind].model
    expected = jax.jit(model.apply)(sources[kind].trained.params, images.astype("f4") / 255)
    found = predict(page, images, KINDS.index(kind))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_jax(page, sources, splits, kind):
    source = sources[kind]
    images, labels = splits.test.images[:5], splits.test.labels[:5]
    value_and_grad = jax.jit(autodiff(source.model, LOSSES[source.trained.config.loss]))
    for image, label in zip(images, labels, strict=True):
        _, grads = value_and_grad(
            source.trained.params, image[None].astype("f4") / 255, label[None]
        )
        arguments = [image.ravel().tolist(), int(label), KINDS.index(kind)]
        found = page.evaluate(GRADIENT, arguments)
        count = len(list(filter(None, grads)))
        names = [f"layers.{l}.{field}" for l in range(count) for field in ("weights", "biases")]
        assert list(found) == names
        for (name, values), expected in zip(found.items(), jax.tree.leaves(grads), strict=True):
            size = abs(np.asarray(expected)).max()
            assert size > 0, name
            np.testing.assert_allclose(
                values, np.ravel(expected), rtol=0, atol=1e-4 * size, err_msg=name
            )


def gradient_step(source, params, image, label, rate):
    """What one step against the gradient leaves of the parameters, by JAX."""
    value_and_grad = autodiff(source.model, LOSSES[source.trained.config.loss])
    _, grads = jax.jit(value_and_grad)(params, image[None].astype("f4") / 255, label[None])
    return jax.tree.map(lambda p, g: p - rate * g, params, grads)


@pytest.mark.parametrize("kind", ["classic", pytest.param("tanh", marks=pytest.mark.slow)])
def test_a_step_and_its_undoing_are_those_of_jax(open_page, file, sources, splits, kind):
    page, source, index = open_page(file), sources[kind], KINDS.index(kind)
    images = splits.test.images[:20]
    if index:
        page.get_by_label("Look into").select_option(str(index))
    page.get_by_role("button", name="Test image 3: 1").click()

    def logits():
        return predict(page, images, index)

    def expected(params):
        return jax.jit(source.model.apply)(params, images.astype("f4") / 255)

    before = logits()
    page.get_by_role("button", name="Take the step").click()
    stepped = gradient_step(source, source.trained.params, images[2], splits.test.labels[2], 3.0)
    assert abs(np.subtract(logits(), before)).max() > 0.01
    np.testing.assert_allclose(logits(), expected(stepped), rtol=0, atol=1e-4)
    page.get_by_role("button", name="Ten more").click()
    for _ in range(10):
        stepped = gradient_step(source, stepped, images[2], splits.test.labels[2], 3.0)
    np.testing.assert_allclose(logits(), expected(stepped), rtol=0, atol=1e-3)
    page.get_by_role("button", name="Undo the step").click()
    page.get_by_role("button", name="Undo the step").click()
    assert logits() == before
    page.close()


def number(text):
    """A number as the page writes it."""
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")  # noqa: RUF001
    return float(text.replace("·10", "e").translate(digits))


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_has_one_derivative_by_its_factors_by_measurement_and_by_jax(page, kind):
    page.get_by_label("Look into").select_option(str(KINDS.index(kind)))
    page.get_by_role("button", name="Test image 2: 2").click()
    layers = page.get_by_label("Layer", exact=True).locator("option").count()
    for layer in range(layers):
        page.get_by_label("Layer", exact=True).select_option(str(layer))
        # Of the first layer a weight in the middle of the image.
        wide = int(page.get_by_label("Input").get_attribute("max")) == 784
        page.get_by_label("Input").fill("380" if wide else "2")
        page.get_by_label("Output", exact=True).fill("2")
        page.get_by_label("Output", exact=True).press("Enter")
        rows = page.get_by_role("group", name="Its derivative, three times").locator("tbody td")
        by_factors, measured, by_jax = map(number, rows.all_text_contents())
        if wide or layer == layers - 1:
            assert by_factors != 0
        assert by_factors == pytest.approx(measured, rel=1e-5, abs=1e-9)
        assert by_factors == pytest.approx(by_jax, rel=1e-4, abs=1e-7)


def drag(page, points):
    """A stroke with the mouse over the sheet, points being shares of its sides."""
    box = page.get_by_role("img", name="Sheet to draw on").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def pixels(page):
    return np.reshape(page.evaluate("() => digits.pixels()"), (28, 28))


def test_what_the_mouse_draws_is_centred_undone_and_cleared(page):
    page.get_by_role("button", name="Clear").click()
    assert not pixels(page).any()
    assert page.get_by_role("status", name="Answer of classic").text_content() == "\N{EN DASH}"
    drag(page, [(0.2, 0.1), (0.2, 0.6)])
    one = pixels(page)
    assert np.ptp(np.flatnonzero(one.any(1))) + 1 == 20  # rows
    assert one[:, 12:16].sum() > 0.9 * one.sum()
    drag(page, [(0.2, 0.6), (0.5, 0.6)])
    assert (pixels(page)[20:] > 0).sum() > (one[20:] > 0).sum()
    page.get_by_role("button", name="Undo", exact=True).click()
    np.testing.assert_array_equal(pixels(page), one)
    page.get_by_role("checkbox", name="Size and place like MNIST").uncheck()
    columns = np.flatnonzero(pixels(page).any(0))
    assert 3 <= columns[0] <= columns[-1] <= 8  # a fifth from the left, as drawn
    page.get_by_role("checkbox", name="Size and place like MNIST").check()
    page.get_by_role("button", name="Clear").click()
    assert not pixels(page).any()


def drawings(count=24):
    """Strokes of all widths and sizes anywhere on a sheet, hard and blurred; rows of ink."""
    import PIL.Image
    import PIL.ImageDraw
    from scipy import ndimage

    rng = np.random.default_rng(7)
    for number in range(count):
        sheet = PIL.Image.new("L", (200, 200))
        size, corner = rng.uniform(15, 150), rng.uniform(5, 45, 2)
        points = [tuple(corner + rng.uniform(0, size, 2)) for _ in range(4)]
        width = int(rng.integers(1, 12))
        PIL.ImageDraw.Draw(sheet).line(points, fill=int(rng.integers(60, 256)), width=width)
        ink = np.asarray(sheet)
        yield ndimage.gaussian_filter(ink, 1) if number % 2 else ink


def test_a_drawing_is_made_like_mnist_as_recognition_does(page, splits):
    reason = "no recognition in this version"
    module = pytest.importorskip("digits_jax.recognition.normalise", reason=reason)
    for ink in (*drawings(), *splits.test.images[:10]):
        found = page.evaluate("(rows) => digits.normalise(rows)", ink.tolist())
        expected = module.normalise(ink).ravel().astype(int)
        assert expected.max() == 255
        assert abs(np.array(found) - expected).max() <= 1


def test_a_finger_draws_on_a_phone_and_the_page_does_not_scroll(open_page, file):
    page = open_page(file, width=400)
    page.get_by_role("button", name="Clear").click()
    box = page.get_by_role("img", name="Sheet to draw on").bounding_box()
    before = page.evaluate("() => scrollY")
    touch = page.context.new_cdp_session(page)
    for step, kind in enumerate(["touchStart", *["touchMove"] * 6, "touchEnd"]):
        place = {"x": box["x"] + 60, "y": box["y"] + 40 + 15 * step}
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [] if kind == "touchEnd" else [place]},
        )
    assert pixels(page).max() == 255
    assert page.evaluate("() => scrollY") == before
    page.close()


@pytest.mark.slow
def test_a_photo_becomes_the_digit_that_is_on_it(page, splits, tmp_path):
    import PIL.Image

    digit = splits.test.images[0]
    # Dark ink on paper that is darker at one side.
    large = np.asarray(PIL.Image.fromarray(digit).resize((300, 300), PIL.Image.Resampling.BICUBIC))
    paper = np.full((400, 500), 1.0) * np.linspace(0.9, 0.5, 500)
    paper[50:350, 90:390] *= 1 - 0.8 * large / 255
    PIL.Image.fromarray((255 * paper).astype("u1")).save(tmp_path / "photo.png")
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Photo").set_input_files(tmp_path / "photo.png")
    page.wait_for_timeout(500)
    found = pixels(page)
    assert np.corrcoef(found.ravel(), digit.ravel())[0, 1] > 0.9


def test_every_step_is_reached_and_the_label_changes_the_error(page):
    page.get_by_label("Look into").select_option("0")
    page.get_by_role("button", name="Test image 1: 7").click()
    titles = []
    while True:
        titles.append(page.locator("#step-title").text_content())
        if page.get_by_role("button", name="Next").is_disabled():
            break
        page.get_by_role("button", name="Next").click()
    assert [title.split(" · ")[1] for title in titles] == [
        "Forward: layer 1",
        "Forward: layer 2",
        "BP1: the loss and its error",
        "BP3: biases of layer 2",
        "BP4: weights of layer 2",
        "BP2: the error of layer 1",
        "BP3: biases of layer 1",
        "BP4: weights of layer 1",
    ]
    loss = page.get_by_role("status", name="Loss").text_content()
    assert page.get_by_role("radio", name="7").is_checked()
    page.get_by_role("radio", name="4").check()
    assert page.get_by_role("status", name="Loss").text_content() != loss


@pytest.mark.slow
def test_training_lowers_the_loss_and_the_run_comes_back(open_page, file):
    page = open_page(file)

    def loss():
        return float(page.locator("#train-said").text_content().split("loss ")[1].split(",")[0])

    def train():
        page.get_by_role("button", name="One epoch").click()
        page.wait_for_selector("#train-stop:disabled")

    run = loss()
    page.get_by_label("Start from").select_option("random")
    begin = loss()
    assert begin != run
    train()
    assert loss() < begin / 2
    page.get_by_label("Start from").select_option("zeros")
    train()
    assert "are alike" in page.locator("#train-said").text_content()
    page.get_by_role("button", name="Back to the run").click()
    assert loss() == run
    page.close()


def test_buttons_and_units_are_pressed_by_keyboard(page):
    page.get_by_role("button", name="Test image 5: 4").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("radio", name="4").is_checked()
    page.get_by_label("Look into").select_option("0")
    page.get_by_role("button", name="Unit 2", exact=True).focus()
    page.keyboard.press("Space")
    assert page.get_by_role("group", name="What it adds to each class").is_visible()
    page.keyboard.press("Space")
    assert not page.get_by_role("group", name="What it adds to each class").is_visible()


def test_every_control_is_found_by_its_role_and_name(page):
    names = {
        "button": "Undo, Clear, Back, Next, Take the step, Ten more, Undo the step, One epoch, "
        "Ten epochs, Stop, Present, Unit 30, Test image 50: 4",
        "slider": "Pen, Learning rate",
        "combobox": "Look into, For class, Layer, Start from, Lesson",
        "spinbutton": "Output, Input, Rate",
        "checkbox": "Size and place like MNIST, Predict first",
        "radio": "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "link": "Draw, Inside, Learn, Train, Lessons",
        "list": "Probabilities of classic, Probabilities of silu",
        "img": "Sheet to draw on, What the network gets",
    }
    page.get_by_label("Look into").select_option("0")
    for role, listed in names.items():
        for name in listed.split(", "):
            assert page.get_by_role(role, name=name, exact=True).count() == 1, (role, name)


def test_whatever_can_be_pressed_or_seen_has_a_name(page):
    """As a screen reader gets it: controls and pictures with neither text nor label."""
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, canvas, svg, output')]
            .filter((e) => !e.closest('[hidden], [aria-hidden]') && !e.ariaLabel
                && !e.textContent.trim() && !e.labels?.length).map((e) => e.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_is_readable_at_desk_and_pocket_width(open_page, file, width, scheme):
    page = open_page(file, width=width, color_scheme=scheme)
    for index in range(len(KINDS)):
        page.get_by_label("Look into").select_option(str(index))
        seen = page.evaluate(
            """() => [document.documentElement.scrollWidth,
                [...document.querySelectorAll('body *')].filter((e) => !e.closest('.box, .formula')
                    && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML),
                getComputedStyle(document.body).backgroundColor]"""
        )
        assert seen[:2] == [width, []]
        assert (seen[2] == "rgb(255, 255, 255)") == (scheme == "light")
    page.close()


@pytest.mark.slow
def test_other_images_and_named_classes(
    open_page, tmp_path, train_run, write_idx_folder, tiny_split
):
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(30, seed=1))
    names = ("T-shirt & <top>", "</script>", "Ärmel")
    (folder / "labels.txt").write_text("\n".join(names), "utf-8")
    run = train_run(
        tmp_path / "run", data_dir=str(folder), train_size=45, validation_size=15, epochs=2
    )
    path = tmp_path / "page.html"
    moved = folder.rename(tmp_path / "moved")
    path.write_text(html.make([export.read(run)], moved), "utf-8")
    page = open_page(path)
    for name in names:
        assert page.get_by_role("radio", name=name).count() == 1
    assert not page.get_by_label("Size and place like MNIST").is_visible()
    assert not page.get_by_label("Look into").is_visible()
    drag(page, [(0.2, 0.2), (0.7, 0.8)])
    assert len(page.evaluate("() => digits.pixels()")) == 5 * 7
    page.close()


def test_several_digits_are_read_each(page):
    page.get_by_role("button", name="Clear").click()
    drag(page, [(0.2, 0.2), (0.2, 0.8)])
    one = pixels(page)
    drag(page, [(0.45, 0.2), (0.85, 0.2), (0.6, 0.8)])
    assert len(page.evaluate("() => digits.answer()")) == 2
    assert np.corrcoef(pixels(page).ravel(), one.ravel())[0, 1] > 0.99
    page.get_by_role("button", name="Digit 2").click()
    assert pixels(page).any(0).sum() > one.any(0).sum() + 5  # the bar of the 7
    page.get_by_role("button", name="Clear").click()
    assert not page.get_by_role("group", name="The digits that were found").is_visible()


def test_a_drawing_has_no_label_until_someone_gives_it_one(page):
    step = page.get_by_role("button", name="Take the step")
    page.get_by_role("button", name="Test image 5: 4").click()
    assert step.is_enabled()
    page.get_by_role("button", name="Clear").click()
    assert step.is_disabled()
    drag(page, [(0.5, 0.2), (0.5, 0.8)])
    assert step.is_disabled()
    assert page.get_by_role("radio", checked=True, name="4").count() == 0
    page.get_by_role("radio", name="1", exact=True).check()
    assert step.is_enabled()


def test_an_empty_sheet_has_no_answer(page):
    page.get_by_role("button", name="Clear").click()
    shares = page.get_by_role("list", name="Probabilities of classic").locator(".share")
    assert shares.all_text_contents() == ["\N{EN DASH}"] * 10


@pytest.fixture(scope="module")
def shipped_page(open_page, tmp_path_factory):
    """The page that `python -m digits_jax page` writes."""
    from digits_jax.__main__ import main

    path = tmp_path_factory.mktemp("shipped") / "digits.html"
    assert main(["page", str(path)]) == 0
    assert path.stat().st_size < 1_000_000
    return open_page(path)


def photo_of(images, dark_table=False):
    """Rows of three digits in ink on unevenly lit paper; transparent or dark around it."""
    import PIL.Image

    paper = np.ones((150, 330)) * np.linspace(0.9, 0.6, 330)
    for n, image in enumerate(images):
        large = PIL.Image.fromarray(image).resize((84, 84), PIL.Image.Resampling.BICUBIC)
        paper[33:117, 15 + 105 * n : 99 + 105 * n] *= 1 - 0.8 * np.asarray(large) / 255
    if dark_table:
        paper = np.pad(paper, 60, constant_values=0.15)
    return PIL.Image.fromarray((255 * paper).astype("u1"))


@pytest.mark.slow
@pytest.mark.parametrize("dark_table", [False])
def test_photos_of_digits_are_read_as_by_recognition(shipped_page, splits, tmp_path, dark_table):
    from digits_jax import recognition

    reader, wrong, differ = recognition.reader(), 0, 0
    for n in range(10):
        path = tmp_path / f"{n}.png"
        photo_of(splits.test.images[3 * n : 3 * n + 3], dark_table).save(path)
        shipped_page.get_by_role("button", name="Clear").click()
        shipped_page.get_by_label("Photo").set_input_files(path)
        shipped_page.wait_for_function("() => digits.answer() !== '\N{EN DASH}'")
        found = shipped_page.evaluate("() => digits.answer()")
        by_command = next(iter(recognition.look([str(path)], reader))).digits
        wrong += found != "".join(map(str, splits.test.labels[3 * n : 3 * n + 3]))
        differ += found != recognition.as_text(by_command).replace(" ", "")
    assert wrong <= 1
    assert differ <= 1


def test_white_ink_on_nothing_is_read(shipped_page, splits, tmp_path):
    import PIL.Image

    shape = PIL.Image.fromarray(splits.test.images[0]).resize((280, 280))
    ink = PIL.Image.new("RGBA", (280, 280), "white")
    ink.putalpha(shape)
    ink.save(tmp_path / "white.png")
    shipped_page.get_by_label("Photo").set_input_files(tmp_path / "white.png")
    shipped_page.wait_for_function("() => digits.answer() === '7'")


def test_a_file_that_is_no_picture_is_named(shipped_page, tmp_path):
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7 none")
    shipped_page.get_by_label("Photo").set_input_files(path)
    shipped_page.get_by_text("letter.pdf: this browser cannot read it as a picture").wait_for()
    shipped_page.get_by_role("button", name="Clear").click()
    assert shipped_page.get_by_role("alert").text_content() == ""


def test_the_page_opens_on_an_image_that_is_surely_read_right(open_page, file):
    page = open_page(file)
    said = page.get_by_role("status", name="Answer of classic").text_content()
    samples = page.get_by_role("button", name="Test image").all()
    if said != "?":  # an untrained network may be sure of nothing
        assert page.get_by_role("radio", checked=True, name=said).count() == 1
    assert len(samples) == 50
    page.close()


LESSONS = Path(__file__).parents[2] / "experiments" / "recipes" / "lessons"


@pytest.mark.parametrize("name", ["slowdown", "vanishing", "initialisation", "batch"])
def test_lessons_are_those_of_the_recipes(open_page, file, name):
    page = open_page(file, fragment=f"#lesson={name}")
    for side, found in zip("ab", page.evaluate("() => digits.lesson()"), strict=True):
        lines = (LESSONS / f"{name}-{side}.flags").read_text().splitlines()
        flags = dict(line[2:].split("=") for line in lines if line.startswith("--"))
        if flags.pop("init_scale", None) == "0":
            flags["init"] = "zeros"
        default = Config()
        settings = {key: getattr(default, key) for key in found["settings"]} | flags
        settings["hidden"] = (
            ",".join(settings["hidden"]) if "hidden" not in flags else flags["hidden"]
        )
        as_numbers = ("learning_rate", "batch_size")
        assert {k: float(v) if k in as_numbers else v for k, v in settings.items()} == {
            k: float(v) if k in as_numbers else v for k, v in found["settings"].items()
        }
    page.close()


def test_the_sizes_of_delta_are_those_of_jax(open_page, file, splits):
    page = open_page(file, fragment="#lesson=vanishing")
    deep = page.evaluate("() => digits.lesson()")[1]
    config = Config(hidden=("30",) * 4)
    model = make_model(config, (28, 28), 10)
    layers = iter([Affine(np.reshape(w, (len(b), -1)), np.array(b)) for w, b in deep["params"]])
    template = model.init(jax.random.key(0))
    params = tuple(next(layers) if p else p for p in template)
    params = jax.tree.map(lambda p: p.astype("f4"), params)
    images = splits.validation.images[:50].astype("f4") / 255

    def gradient(image, label):
        return autodiff(model, LOSSES["quadratic"])(params, image[None], label[None])[1]

    grads = jax.vmap(gradient)(images, splits.validation.labels[:50])
    # Of one image, the derivative with respect to the biases is delta itself.
    expected = [float(abs(p.biases).mean()) for p in grads if p]
    np.testing.assert_allclose(deep["deltas"], expected, rtol=1e-4)
    assert expected[0] < expected[-1] / 50
    page.close()


@pytest.mark.slow
def test_a_lesson_asks_first_and_then_compares(open_page, file):
    page = open_page(file, fragment="#lesson=initialisation")
    train = page.get_by_role("button", name="Train both for an epoch")
    assert train.is_disabled()
    page.get_by_role("radio", name="A", exact=True).check()
    train.click()
    page.wait_for_selector("#lesson-stop:disabled")
    assert "Not as you expected" in page.locator("#lesson-verdict").text_content()
    page.get_by_label("Activation").nth(1).select_option("tanh")
    assert "~tanh~" in page.evaluate("() => location.hash")
    page.close()


def test_a_derivative_is_asked_before_it_is_shown(page):
    page.get_by_label("Look into").select_option("0")
    page.get_by_role("button", name="Test image 1: 7").click()
    page.get_by_label("Predict first").check()
    table = page.get_by_role("group", name="Its derivative, three times")
    assert table.count() == 0
    page.get_by_role("radio", name="positive").click()
    assert table.count() == 1
    page.get_by_label("Predict first").uncheck()


def test_presenting_shows_one_part_at_a_time(page):
    page.get_by_role("button", name="Present").click()
    page.keyboard.press("ArrowRight")
    shown = "[...document.querySelectorAll('main > section')].filter((s) => s.offsetHeight)"
    assert page.evaluate(f"{shown}.map((s) => s.id)") == ["inside"]
    page.keyboard.press("Escape")
    assert page.evaluate(f"{shown}.length") == 5


@pytest.mark.slow
def test_large_text_on_a_phone_leaves_room_to_draw(open_page, file):
    page = open_page(file, width=390)
    page.evaluate("() => { document.documentElement.style.fontSize = '32px'; }")
    assert page.get_by_role("img", name="Sheet to draw on").bounding_box()["width"] > 300
    page.close()
