"""`python -m experiments.report` as a user runs it, on small real runs of several data sets."""

import base64
import csv
import html.parser
import json
import re
import shutil
import types

import numpy as np
import PIL.Image
import pytest
import safetensors.numpy

from digits_jax import Config, data, reports
from digits_jax.reports import drawing
from digits_jax.runs import flags_file, model_file, reading
from experiments import report

NAMES = ("T-shirt & <top>", "$5 or $6", "Ärmel")
PARTS = (
    "Confusion matrix",
    "Most confident mistakes",
    "Precision and recall",
    "Weights of the first layer",
    "Calibration",
)


class Page(html.parser.HTMLParser):
    """What a reader of the page gets: headings, tables, pictures, text; and where links go."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.tables = [], [], []
        self.images, self.addresses, self.tags, self.text = [], [], set(), ""
        self.feed(text)
        self.close()
        assert self.open == [], "elements that are not closed"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside in ("td", "th"):
            self.tables[-1]["rows"][-1][-1] += data
        elif inside == "caption":
            self.tables[-1]["caption"] += data
        elif inside in ("h1", "h2", "h3"):
            self.headings[-1] += data
        if inside not in ("style", "title", "script"):
            self.text += data

    def table(self, caption):
        """The rows under the header, as dictionaries."""
        (found,) = (table for table in self.tables if table["caption"].startswith(caption))
        header, *rows = found["rows"]
        return [dict(zip(header, row, strict=True)) for row in rows]

    def picture(self, description):
        """The alternative text of the picture whose own begins so."""
        (found,) = (i["alt"] for i in self.images if i["alt"].startswith(description))
        return found


def summary(run):
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def shapes(tmp_path_factory, write_idx_folder, tiny_split):
    """A data set of images of 5 x 7 pixels in three classes with names."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    write_idx_folder(folder, tiny_split(60), tiny_split(30, seed=1))
    (folder / "labels.txt").write_text("\n".join(NAMES), "utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, train_run, shapes):
    """Runs that hardly learnt (they make mistakes), of two seeds, and others."""
    folder = tmp_path_factory.mktemp("runs")
    size = {"data_dir": str(shapes), "train_size": 45, "validation_size": 15}
    slow = {**size, "hidden": ("8",), "epochs": 3, "learning_rate": 0.01}
    for seed in range(2):
        train_run(folder / f"seed-{seed}", **slow, seed=seed)
    shutil.copytree(folder / "seed-1", folder / "again")
    train_run(folder / "perfect", **size, hidden=(), epochs=20, loss="cross_entropy")
    train_run(
        folder / "digits", train_size=300, validation_size=0, epochs=2, hidden=("120", "5"), seed=4
    )
    return folder


@pytest.fixture(scope="module")
def one(run_module, folder, tmp_path_factory):
    """The page of one run of real digits, made by the command, and the folder of its pictures."""
    output = tmp_path_factory.mktemp("one")
    process = run_module(
        "experiments.report",
        folder / "digits",
        f"--output={output / 'page.html'}",
        f"--figures_dir={output / 'new' / 'pictures'}",
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert str(output / "page.html") in process.stdout
    return Page((output / "page.html").read_text("utf-8")), output / "new" / "pictures"


@pytest.fixture(scope="module")
def several(folder):
    """The page of all runs."""
    names = ("seed-0", "seed-1", "again", "perfect", "digits")
    report = reports.make([folder / name for name in names])
    return Page(report.html), report


def test_a_page_holds_all_it_shows(one, several):
    for page, _ in (one, several):
        assert page.images
        assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in page.images)
        assert page.addresses == [image["src"] for image in page.images]
        assert not page.tags & {"link", "iframe", "object", "base"}
        assert all(image["alt"] and image["width"] and image["height"] for image in page.images)
        for image in page.images:
            drawn = base64.b64decode(image["src"].partition(",")[2]).decode()
            assert "prefers-color-scheme: dark" in drawn
            assert not re.search(r"(?:fill|stroke): #(?:000000|ffffff)", drawn)
    styles_and_text = re.sub(r'src="data:[^"]*"', "", several[1].html)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", styles_and_text)


def test_the_sections_of_one_run(one):
    page, _ = one
    assert page.headings == [
        "Report: digits",
        "Summary",
        "Settings",
        "Learning curves",
        "In detail: digits",
        *PARTS,
    ]
    settings = {row["setting"]: row["value"] for row in page.table("All settings")}
    assert settings["hidden"] == "120,5"
    assert settings["data_dir"] == "none"


def test_a_run_with_distortions_shows_them(folder, train_run, shapes):
    settings = {"data_dir": str(shapes), "train_size": 45, "validation_size": 15, "hidden": ("8",)}
    train_run(folder / "distorted", **settings, epochs=1, rotate=20.0, shift=0.5, fade=0.25)
    report = reports.make([folder / "distorted"])
    page = Page(report.html)
    assert page.headings[-1] == "Distorted images"
    assert "rotate 20, shift 0.5, less and less over the last 25% of the run." in page.text
    assert "distorted-distorted" in report.figures


def test_the_numbers_are_those_of_summary_json(one, folder):
    page, _ = one
    recorded = summary(folder / "digits")
    (row,) = page.table("As each run's summary.json records it")
    assert row["test accuracy"] == f"{recorded['test_accuracy']:.2%}"
    assert row["test errors"] == f"{recorded['test_errors']:,}"
    assert row["test loss"] == f"{recorded['test_loss']:.4g}"
    assert (row["run"], row["seed"], row["test images"]) == ("digits", "4", "10,000")
    assert f"makes {recorded['test_errors']:,} errors" in page.text
    assert "sigmoid outputs divided by their sum (loss=quadratic)" in page.text
    right = f"{10_000 - recorded['test_errors']:,} of 10,000 images are on the diagonal"
    assert page.picture("Confusion matrix of 10 classes").endswith(f"{right}.")
    with open(folder / "digits" / "metrics.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert f"training {float(last['train_accuracy']):.2%}" in page.picture("Learning curves: acc")
    assert "validation" not in page.picture("Learning curves: acc")  # there are no such images


def probabilities_of(run):
    """Labels and probabilities of the test images of a sigmoid network, by NumPy in float64."""
    model = model_file.load(run / "model.safetensors")
    test = data.load("mnist", model.config.data_dir, 45, 15).test
    outputs = test.images.reshape(len(test.images), -1) / 255
    for weights, biases in filter(None, model.params):
        z = outputs @ np.asarray(weights, np.float64).T + np.asarray(biases)
        outputs = 1 / (1 + np.exp(-z))
    return test.labels, outputs / outputs.sum(axis=1, keepdims=True)


def test_the_details_are_those_of_the_model(several, folder):
    page, _ = several
    labels, probabilities = probabilities_of(folder / "seed-0")
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    tables = [table["rows"] for table in page.tables if table["caption"] == "Of each class"]
    for index, row in enumerate(tables[0][1:]):
        hits = np.sum((labels == index) & (predicted == index))
        taken, there = np.sum(predicted == index), np.sum(labels == index)
        precision = f"{hits / taken:.0%}" if taken else "undefined"  # of fewer than 100 images
        assert row == [NAMES[index], str(index), str(there), precision, f"{hits / there:.0%}"]

    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[confidence[wrong].argmax()]
    told = next(i["alt"] for i in page.images if i["alt"].startswith("Images with their labels"))
    assert told.split(": ", 1)[1].startswith(
        f"{NAMES[labels[surest]]} ({probabilities[surest, labels[surest]]:.1%}) taken for "
        f"{NAMES[predicted[surest]]} ({confidence[surest]:.1%})"
    )
    bins = np.ceil(confidence * 15)
    error = sum(
        np.mean(bins == m)
        * abs(np.mean((predicted == labels)[bins == m]) - confidence[bins == m].mean())
        for m in np.unique(bins)
    )
    assert f"(Guo et al., 2017, equation 3): {error:.0%} in 15 bins" in page.text


def test_seeds_are_one_group_and_repeats_are_left_out(several, folder):
    page, report = several
    groups = page.table("Mean over the seeds of a group")
    assert [row["runs"] for row in groups] == ["2", "1", "1"]
    assert groups[0]["seeds"] == "0, 1"
    values = [summary(folder / f"seed-{seed}")["test_accuracy"] for seed in range(2)]
    assert np.std(values) == 0
    assert groups[0]["test accuracy"] == f"{100 * np.mean(values):.2f} ± 0.00 %"
    assert report.warnings == (
        "again repeats seed 1 of the same settings: it is left out of means and curves",
    )
    assert report.warnings[0] in page.text
    assert len(page.table("As each run's")) == 5
    assert [row["group"] for row in groups] == ["seed-0", "perfect", "digits"]
    assert groups[1]["test errors"] == "0"
    assert "Seed 0, the first of 2: the model" in page.text
    differing = {row["setting"] for row in page.table("Settings that differ between groups")}
    assert {"epochs", "hidden", "loss", "data_dir"} <= differing
    assert "seed" not in differing
    assert [heading for heading in page.headings if heading.startswith("In detail")] == [
        *("In detail: seed-0", "In detail: perfect", "In detail: digits")
    ]


def test_seeds_are_also_scored_together(several, folder, shapes):
    page, _ = several
    test = data.load(data_dir=shapes, train_size=45, validation_size=15).test
    each = []
    for seed in range(2):
        weights = safetensors.numpy.load_file(folder / f"seed-{seed}" / "model.safetensors")
        a = test.images.reshape(len(test.images), -1) / 255
        for number in sorted({name.rsplit(".", 1)[0] for name in weights}):
            z = a @ weights[f"{number}.weights"].T + weights[f"{number}.biases"]
            a = 1 / (1 + np.exp(-z))
        each.append(a / a.sum(axis=1, keepdims=True))
    errors = int((np.mean(each, axis=0).argmax(axis=1) != test.labels).sum())
    assert errors > 0
    assert f"All 2 together, by the mean of their probabilities, make {errors} errors" in page.text


def test_losses_of_two_kinds_are_not_drawn_together(several):
    _, report = several
    assert {"accuracy", "loss-quadratic", "loss-cross_entropy"} <= set(report.figures)


def test_a_perfect_run_without_hidden_layer(several):
    page, report = several
    assert "None: every test image is classified right." in page.text
    assert "perfect-mistakes" not in report.figures
    assert "Weights of the classes" in page.headings
    assert "each as a picture of 5 x 7" in page.picture("The weights of the 3 classes")
    assert "the softmax of the logits (loss=cross_entropy)" in page.text


def test_many_units_and_deeper_layers_are_said_to_be_left_out(one):
    page, _ = one
    assert "the first 100 of 120 units of the first layer" in page.picture("The weights")
    assert "Later layers are not shown" in page.text


def test_the_pictures_are_written_singly(one):
    page, pictures = one
    written = sorted(path.name for path in pictures.iterdir())
    assert written == [
        "accuracy.png",
        *(f"digits-{kind}.png" for kind in ("confusion", "mistakes", "reliability", "weights")),
        "loss-quadratic.png",
    ]
    assert len(page.images) == len(written)
    for path in pictures.iterdir():
        with PIL.Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width >= 900
            assert np.asarray(image.convert("L")).std() > 10


def test_a_run_looks_the_same_in_another_process_and_beside_others(one, several):
    _, pictures = one
    html = (pictures.parents[1] / "page.html").read_text("utf-8")
    alone, beside = (text[text.index("In detail: digits") :] for text in (html, several[1].html))
    assert alone == beside
    for path in pictures.glob("digits-*.png"):
        assert path.read_bytes() == drawing.png(several[1].figures[path.stem])


@pytest.fixture
def make_page(monkeypatch):
    """What the command does once its flags are parsed."""

    def make(run, output):
        given = {"output": str(output), "figures_dir": None, "data_dir": None, "record": None}
        monkeypatch.setattr(report.flags, "FLAGS", types.SimpleNamespace(**given))
        report.main([str(run)])

    return make


def test_data_that_have_changed_are_noticed(make_page, folder, shapes, tmp_path, capsys):
    changed = tmp_path / "shapes"
    shutil.copytree(shapes, changed)
    run = shutil.copytree(folder / "seed-0", tmp_path / "run")
    labels = data.load(data_dir=shapes, train_size=45, validation_size=15).test.labels
    (changed / "t10k-labels-idx1-ubyte.gz").unlink()
    header = b"\x00\x00\x08\x01" + len(labels).to_bytes(4, "big")
    (changed / "t10k-labels-idx1-ubyte").write_bytes(header + bytes(len(labels)))
    for name in ("summary.json", "model.safetensors"):
        model = model_file.load(folder / "seed-0" / "model.safetensors")
        config = json.loads(json.dumps(summary(run)["config"])) | {"data_dir": str(changed)}
        moved = model._replace(config=type(model.config).from_dict(config))
        if name == "summary.json":
            (run / name).write_text(json.dumps(summary(run) | {"config": config}))
        else:
            model_file.save(run / name, moved)
    make_page(run, tmp_path / "page.html")
    other, line = capsys.readouterr().err.splitlines()
    assert other == "warning: run: the data here are not those that it was trained and scored on"
    assert line.startswith("warning: run: scored here, the model makes")
    assert f"summary.json records {summary(run)['test_errors']} in 30" in line
    assert line.removeprefix("warning: ") in Page((tmp_path / "page.html").read_text()).text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "expected RUN [RUN ...]"), (["run", "--outptu=x"], "Did you mean: output ?")],
)
def test_a_mistake_in_the_command_gives_one_line(
    assert_one_line_error, run_module, arguments, message
):
    assert_one_line_error(run_module("experiments.report", *arguments), message)


@pytest.mark.parametrize(
    ("run", "output", "message"),
    [
        ("nothing", "page.html", "{runs}/nothing: no such folder"),
        ("perfect", "no/page.html", "output={runs}/no/page.html: no such folder as {runs}/no"),
        ("perfect", "/proc/page.html", ".*/proc/.*"),
    ],
)
def test_what_cannot_be_read_or_written_gives_one_line(make_page, folder, run, output, message):
    with pytest.raises(SystemExit, match=f"^error: {message.format(runs=folder)}$") as error:
        make_page(folder / run, folder / output)
    assert "\n" not in str(error.value)


def test_a_run_given_twice_is_refused(folder):
    with pytest.raises(ValueError, match="perfect: given 2 times"):
        reports.make([folder / "perfect", f"{folder}/seed-0/../perfect/"])


def test_data_that_are_gone_are_named(folder, tmp_path, shapes):
    hidden = shapes.rename(shapes.with_name("hidden"))
    try:
        with pytest.raises(ValueError, match="shapes: no such folder"):
            reports.make([folder / "perfect"])
        assert reports.make([folder / "perfect"], data_dir=hidden).figures
    finally:
        hidden.rename(shapes)


def test_outputs_that_cannot_be_are_refused_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="is a folder, expected the name of a file"):
        report.check_outputs(tmp_path, None)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"figures_dir=.*file: is not a folder"):
        report.check_outputs(tmp_path / "page.html", tmp_path / "file")
    (tmp_path / "metrics.csv").write_text("epoch,step\n")
    for there in (tmp_path / "metrics.csv", tmp_path.joinpath("/dev/null")):
        with pytest.raises(ValueError, match=f"output={there}: exists and is not a report: choose"):
            report.check_outputs(there, None)
    (tmp_path / "page.html").write_text("<!doctype html>\n<html>")
    report.check_outputs(tmp_path / "page.html", None)


def test_help_is_grouped_and_names_the_arguments(run_module):
    process = run_module("experiments.report", "--help")
    assert process.returncode == 0
    assert "RUN [RUN ...]" in process.stdout
    assert [line for line in process.stdout.splitlines() if line.endswith(":")] == [
        "network:",
        "run:",
    ]
    assert "--output=report.html" in process.stdout


def test_an_unfinished_run_shows_its_curves_alone_and_beside_others(
    folder, tmp_path, train_run, shapes
):
    given = {"data_dir": str(shapes), "train_size": 45, "validation_size": 15, "hidden": ("8",)}
    run = train_run(tmp_path / "going", **given, epochs=9)
    for name in ("summary.json", "model.safetensors"):
        (run / name).unlink()
    metrics = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(metrics[:5]) + metrics[5][:9])  # as it is written
    settings = Config(**given, epochs=9)
    (run / "flags.txt").write_text(
        "\n".join([*flags_file.of_config(settings), "--checkpoint_seconds=9", ""])
    )
    assert reading.read_unfinished(run).config == settings
    for runs in ([run], [folder / "seed-0", run]):
        page = Page(reports.make(runs).html)
        assert "going is not finished: epoch 4 of 9." in page.text
        assert any("going" in i["alt"] for i in page.images) or len(runs) == 1
        assert ("In detail: seed-0" in page.headings) == (len(runs) == 2)
    with pytest.raises(ValueError, match="not a finished run"):
        reading.read(run)


def test_a_sweep_shows_its_settings_and_its_best_run(fork_module, tmp_path, shapes):
    sweep = tmp_path / "sweep"
    flags = (f"--data_dir={shapes}", "--train_size=45", "--validation_size=15", "--epochs=2")
    flags += ("--vary=learning_rate=0.1,1", "--seeds=2", f"--workdir={sweep}")
    assert fork_module("experiments.sweep", *flags).returncode == 0
    made = reports.make([sweep])
    page = Page(made.html)
    assert page.headings[:2] == ["Report: sweep", "Sweep: sweep"]
    rows = page.table("Mean accuracy in % over the seeds of a setting")
    assert {row["learning_rate"] for row in rows} == {"0.1", "1.0"}
    assert [row["runs"] for row in rows] == ["2", "2"]
    with open(sweep / "results.csv", newline="") as file:
        runs = list(csv.DictReader(file))
    scores = {
        rate: [float(run["test_accuracy"]) for run in runs if run["learning_rate"] == rate]
        for rate in ("0.1", "1.0")
    }
    for row in rows:
        mean, interval = row["test accuracy"].split(" ± ")
        found = scores[row["learning_rate"]]
        assert mean == f"{100 * np.mean(found):.2f}"
        # Student's t for one degree of freedom, over sqrt(2) seeds.
        assert float(interval) == pytest.approx(
            100 * 12.7062 * np.std(found, ddof=1) / 2**0.5, abs=0.006
        )
    assert '<p class="verdict">' in made.html
    assert made.html.count('class="best"') == 1
    assert "against-learning_rate" in made.figures
    assert "In detail: sweep-best" in page.headings
    # While it goes on there is neither summary nor best run.
    lines = (sweep / "results.csv").read_text().splitlines(keepends=True)
    (sweep / "results.csv").write_text("".join(lines[:4]))
    (sweep / "summary.csv").unlink()
    shutil.rmtree(sweep / "best")
    page = Page(reports.make([sweep]).html)
    assert "3 runs, 2 settings. It is not finished" in page.text
    # A line that a kill cut off is not counted.
    (sweep / "results.csv").write_text("".join(lines[:4]) + lines[4][:9])
    assert "3 runs, 2 settings" in Page(reports.make([sweep]).html).text
    # The best by validation is among those that halving did not leave out.
    for run in runs:
        run["validation_accuracy"] = "0.9" if run["learning_rate"] == "0.1" else "0.8"
        run["trained_epochs"] = "1" if run["learning_rate"] == "0.1" else "2"
    with open(sweep / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, runs[0])
        writer.writeheader()
        writer.writerows(runs)
    made = reports.make([sweep])
    rows = Page(made.html).table("Mean accuracy in % over the seeds of a setting")
    assert [row["not compared"] for row in rows] == ["", "left out after epoch 1"]
    assert [row["learning_rate"] for row in rows] == ["1.0", "0.1"]
    assert made.html.count('class="best"') == 1
    (sweep / "results.csv").write_text("".join(lines[:3]).replace("0.1,0", "0.1,0,7"))
    with pytest.raises(ValueError, match=r"results.csv: damaged"):
        reports.make([sweep])
