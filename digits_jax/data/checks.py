"""Makes grey levels and classes of what files hold, and says what looks wrong with them."""

import numpy as np

from digits_jax.data.dataset import Dataset

MOST_CLASSES = 10_000
# The least and the largest grey level that files use, where they do not use bytes.
RANGES = ((0, 1), (0, 16), (0, 255), (-1, 1), (0, 65535))
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Recommendation ITU-R BT.601
WHITE, UNEQUAL, WIDE = 192, 10, 1.25


def classes(
    labels: dict[str, np.ndarray], names: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], int, tuple[str, ...], list[str]]:
    """Labels of any kind as int32 from 0 on, the number of classes, their names, and notes.

    Understood are whole numbers of any type, one-hot rows, texts, and classes that begin at 1.

    Raises:
        ValueError: in one line, where labels are none of these.
    """
    found = {split: _flat(array) for split, array in labels.items()}
    notes = ["labels are one-hot"] if min(labels["train"].shape) > 1 < labels["train"].ndim else []
    train = found["train"]
    if train.dtype.kind in "OSU":
        texts = {split: np.array([_text(v) for v in array]) for split, array in found.items()}
        known = sorted(set(texts["train"]))
        if len(known) > MOST_CLASSES:
            raise ValueError(f"{len(known):,} different texts as labels: expected classes")
        if all(text.isdecimal() for text in known):
            found = {split: array.astype(np.int64) for split, array in texts.items()}
        else:
            for split, array in texts.items():
                if unknown := sorted(set(array) - set(known)):
                    raise ValueError(f"{split} label {unknown[0]!r} is not among those of train")
                found[split] = np.searchsorted(known, array)
            notes.append("labels are text")
            names = tuple(known)
    for split, array in found.items():
        if array.dtype.kind == "f" and not np.all(np.mod(array, 1) == 0):  # false for NaN, infinity
            raise ValueError(f"{split} labels are fractions: expected a class from 0 on for each")
        least, most = (array.min(), array.max()) if array.size else (0, 0)
        if not 0 <= least <= most < MOST_CLASSES:
            wrong = least if least < 0 else most
            raise ValueError(
                f"{split} label {wrong:.0f}: expected a class from 0 on, and at most "
                f"{MOST_CLASSES} classes"
            )
        found[split] = array.astype(np.int32)
    seen = np.unique(found["train"])
    if not len(seen):
        raise ValueError("no labels are there")
    if seen[0] == 1 and len(seen) == seen[-1] and all(a.min(initial=1) for a in found.values()):
        found = {split: array - 1 for split, array in found.items()}
        names = names or tuple(map(str, seen))
        notes.append(f"labels are 1 to {seen[-1]}: class 0 is the label 1")
    num_classes = max(int(found["train"].max()) + 1, len(names))
    return found, num_classes, names, notes


def _flat(array: np.ndarray) -> np.ndarray:
    """One label an image, of labels in a row, in a column, or one-hot."""
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim == 2:
        array = array if array.shape[0] >= array.shape[1] else array.T
        largest = array.max(axis=1, keepdims=True)
        if not np.all((array == largest).sum(axis=1) == 1) or len(np.unique(array[:1000])) > 2:
            raise ValueError(f"labels are {list(array.shape)} and not one-hot: expected [n]")
        return np.asarray(array.argmax(axis=1))
    if array.ndim != 1 or array.dtype.kind not in "biufOSU":
        raise ValueError(f"labels are {array.dtype} {list(array.shape)}: expected a class for each")
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def grey_levels(images: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Images of any type, grey or in colour, as uint8 [n, height, width], and notes.

    Raises:
        ValueError: in one line, where values are in no range of grey levels that files use.
    """
    notes = []
    if any(array.ndim == 4 for array in images.values()):
        notes.append("colours became grey by ITU-R 601")
    if all(array.dtype == np.uint8 for array in images.values()):
        return {split: _grey(array) for split, array in images.items()}, notes
    low = np.min([array.min(initial=0) for array in images.values()])  # NaN, if there is one
    high = np.max([array.max(initial=0) for array in images.values()])
    fitting = (r for r in RANGES if r[0] <= low and high <= r[1])
    if (fits := next(fitting, None)) is None:
        raise ValueError(
            f"grey levels from {low:g} to {high:g}: expected 0 to 1, 0 to 16 or 0 to 255; "
            "images that were normalised, or hold NaN, are not read"
        )
    factor = 255 / (fits[1] - fits[0])
    largest = 0.0

    def to_bytes(array: np.ndarray) -> np.ndarray:
        nonlocal largest
        levels = np.empty(array.shape, np.uint8)
        for i in range(0, len(array), 1000):  # a few at a time are float
            exact = (array[i : i + 1000].astype(np.float32) - fits[0]) * np.float32(factor)
            levels[i : i + 1000] = rounded = np.rint(exact)
            largest = max(largest, float(np.abs(exact - rounded).max(initial=0)))
        return levels

    made = {split: _grey(to_bytes(array)) for split, array in images.items()}
    if factor != 1 or largest > 0:
        close = "exactly" if largest < 0.01 else f"rounded by up to {largest:.2f} of 255"
        notes.append(f"pixels of {fits[0]} to {fits[1]} times {factor:g} are grey levels, {close}")
    return made, notes


def _grey(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3:
        return array
    grey = np.empty(array.shape[:3], np.uint8)
    for i in range(0, len(array), 1000):
        grey[i : i + 1000] = np.rint(array[i : i + 1000, ..., :3] @ LUMA)
    return grey


def is_in_order(labels: np.ndarray) -> bool:
    """Whether labels follow each other by class, so that the front of a file lacks some of them."""
    shares = np.bincount(labels) / max(len(labels), 1)
    changes = np.count_nonzero(np.diff(labels))
    return bool(changes < 0.5 * (len(labels) - 1) * (1 - np.sum(shares**2)))


def doubts(train: Dataset, test: Dataset, num_classes: int) -> list[str]:
    """What looks wrong with images and labels that can nevertheless be trained on, a line each."""
    images, lines = train.images, []
    brightest = int(images.max(initial=0))
    if brightest <= 16:
        lines.append(
            f"the brightest pixel is {brightest} of 255, so all images are nearly black: "
            f"multiply them by 255/{max(brightest, 1)}"
        )
    edge = np.concatenate([images[:, [0, -1]].ravel(), images[:, :, [0, -1]].ravel()])
    if np.median(edge) >= WHITE:
        lines.append("the background is white, that of MNIST is black: --invert")
    elif _width_over_height(images) > WIDE:
        lines.append("the images look transposed, as EMNIST's are: --transpose")
    counts = np.bincount(train.labels, minlength=num_classes)
    if empty := np.flatnonzero(counts == 0).tolist():
        lines.append(f"no training image is of class {', '.join(map(str, empty[:10]))}")
    if (some := counts[counts > 0]).max() > UNEQUAL * some.min():
        lines.append(
            f"classes have from {some.min():,} to {some.max():,} training images: "
            "--class_weights=balanced gives them equal weight"
        )
    known = {image.tobytes() for image in images}
    if same := sum(image.tobytes() in known for image in test.images):
        lines.append(f"{same:,} of {len(test.images):,} test images are also training images")
    return lines


def _width_over_height(images: np.ndarray) -> float:
    """The mean variance of ink along rows over that along columns; about 0.5 for handwriting."""
    ink = images[:5000].astype(np.float32)

    def spread(profile: np.ndarray) -> float:
        place, total = np.arange(profile.shape[1]), profile.sum(axis=1) + 1e-6
        mean = profile @ place / total
        return float(np.mean(profile @ place**2 / total - mean**2))

    return spread(ink.sum(axis=1)) / max(spread(ink.sum(axis=2)), 1e-6)
