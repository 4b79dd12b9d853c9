/** Numbers as pictures: ink, or orange for positive and blue for negative. */

const POSITIVE = [240, 120, 0];
const NEGATIVE = [47, 125, 246];
const INK = [0, 0, 0]; // the style sheet inverts it on a dark ground

/** The largest size of any value, 1e-30 where all are 0. */
const extent = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);

/** Paints a value a pixel: the larger, the less of the ground is seen. */
function paint(canvas, values, most = extent(values), colour = null) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    for (let i = 0; i < values.length; i++) {
        image.data.set(colour ?? (values[i] > 0 ? POSITIVE : NEGATIVE), 4 * i);
        image.data[4 * i + 3] = 255 * Math.min(1, Math.abs(values[i]) / most);
    }
    context.putImageData(image, 0, 0);
}

/** A picture of [height, width] values, said in words to those who do not see it. */
function picture(values, height, width, label, most, colour) {
    const canvas = element("canvas", { width, height, role: "img", "aria-label": label });
    paint(canvas, values, most, colour);
    return canvas;
}

/** A picture of grey levels. */
function inked(values, label = "") {
    const made = picture(values, ...content.image_shape, label, 255, INK);
    made.classList.add("ink");
    return made;
}

/** Several pictures of one scale, each with a caption: channels, kernels, units. */
function pictures(list, height, width, most = Math.max(...list.map((p) => extent(p.values)))) {
    const kind = width > 3 * height ? "pictures rows" : "pictures";
    return element("div", { class: kind }, ...list.map(({ values, label, caption, press }) => {
        const made = picture(values, height, width, label, most);
        if (press) {
            made.classList.add("pressable");
            made.addEventListener("click", (event) => press(...placeIn(made, event)));
        }
        return element("figure", {}, made, element("figcaption", {}, caption));
    }));
}

/** The row and column of a picture that a pointer is on. */
function placeIn(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const at = (position, start, length, n) =>
        Math.min(n - 1, Math.max(0, Math.floor(((position - start) / length) * n)));
    return [
        at(event.clientY, box.top, box.height, canvas.height),
        at(event.clientX, box.left, box.width, canvas.width),
    ];
}

/** Channel c of [channels, height, width]. @param {Tensor} a */
function channel(a, c) {
    const size = a.shape[1] * a.shape[2];
    return a.data.subarray(c * size, (c + 1) * size);
}

/** A picture of every channel. @param {Tensor} a */
const maps = (a, what) => pictures(
    Array.from({ length: a.shape[0] }, (_, c) => ({
        values: channel(a, c), label: `${what} ${c + 1}`, caption: String(c + 1),
    })), a.shape[1], a.shape[2]);

/** The row of a matrix. @param {Tensor} a */
const rowOf = (a, j) => a.data.subarray(j * a.shape[1], (j + 1) * a.shape[1]);

/**
 * The weights of an output, or their gradient, in the shape of what they look at, channels as tiles:
 * [values, height, width], and from a place in the picture to the weight's index in the row.
 */
function weightPicture(network, l, row) {
    const { kind, numbers } = network.layers[l];
    const flat = network.layers[l - 1]?.kind !== "flatten";
    const [channels, height, width] = kind === "convolution"
        ? [row.length / numbers.size ** 2, numbers.size, numbers.size]
        : flat ? [1, 1, row.length] : network.shapes[l - 1];
    const across = Math.ceil(Math.sqrt(channels));
    const down = Math.ceil(channels / across);
    const index = (y, x) => {
        const c = Math.floor(y / height) * across + Math.floor(x / width);
        const i = (y % height) * width + (x % width);
        if (c >= channels) return null; // no tile there
        return kind === "convolution" ? i * channels + c : c * height * width + i;
    };
    const values = zeros([down * height, across * width]).data.map((_, n) =>
        row[index(Math.floor(n / (across * width)), n % (across * width))] ?? 0);
    return [values, down * height, across * width, index];
}
