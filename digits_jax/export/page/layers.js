/**
 * Layers: each a function of parameters and input, beside its pullback derived by hand: layers.py,
 * for one example. Activations are [features], or [channels, height, width] where there is space.
 *
 * @typedef {{weights: Tensor, biases: Tensor}} Affine
 * @typedef {Object} Layer
 * @property {string} kind
 * @property {(shape: number[]) => [number[], number[]]} shapes of its input to those of its
 *     parameters, [outputs, fan-in + 1] or [], and of its output
 * @property {(p: ?Affine, a: Tensor) => Tensor} forward
 * @property {(p: ?Affine, a: Tensor, delta: Tensor) => [?Affine, Tensor]} pullback dC/dp, dC/da
 * @property {Object<string, number>} numbers
 */

/** z = W a + b. @param {number} units @returns {Layer} */
function dense(units) {
    return {
        kind: "dense",
        numbers: {},
        shapes: (features) => [[units, count(features) + 1], [units]],
        forward: (p, a) => map(times(p.weights, a), (z, j) => z + p.biases.data[j]),
        pullback: (p, a, delta) => [
            { weights: timesTransposed(delta, a), biases: delta }, // BP4, BP3
            transposedTimes(p.weights, delta), // the first half of BP2
        ],
    };
}

/** a = f(z), element by element; dC/dz = dC/da * f'(z), the second half of BP2. @returns {Layer} */
function activation(kind) {
    const f = ACTIVATIONS[kind];
    return {
        kind,
        numbers: {},
        shapes: (shape) => [[], shape],
        forward: (_, z) => map(z, f.function),
        pullback: (_, z, delta) => [null, map(delta, (d, j) => d * f.derivative(z.data[j]))],
    };
}

/** From space to a column, channel by channel, row by row; back the same way. @returns {Layer} */
function flatten() {
    return {
        kind: "flatten",
        numbers: {},
        shapes: (shape) => [[], [count(shape)]],
        forward: (_, a) => reshape(a, [count(a.shape)]),
        pullback: (_, a, delta) => [null, reshape(delta, a.shape)],
    };
}

/** Zeros before, and the number of places that see so many pixels. */
function padding(length, size, stride) {
    const places = Math.ceil(length / stride);
    return [Math.max((places - 1) * stride + size - length, 0) >> 1, places];
}

/**
 * z = W P + b: a dense layer of patches P[(i, j, c), (y, x)] = a[c, s y + i - t, s x + j - l].
 *
 * A pixel is in many patches, and gets back the sum of what each of them gets.
 * @param {number} kernels @param {number} size @param {number} stride @returns {Layer}
 */
function convolution(kernels, size = 3, stride = 1) {
    /** Calls visit(index in P, index in a) for every pixel that a patch sees. */
    function patches([channels, height, width], visit) {
        const [top, rows] = padding(height, size, stride);
        const [left, columns] = padding(width, size, stride);
        for (let i = 0; i < size; i++) {
            for (let j = 0; j < size; j++) {
                for (let c = 0; c < channels; c++) {
                    const row = ((i * size + j) * channels + c) * rows * columns;
                    for (let y = 0; y < rows; y++) {
                        const v = stride * y + i - top;
                        if (v < 0 || v >= height) continue;
                        for (let x = 0; x < columns; x++) {
                            const u = stride * x + j - left;
                            if (u < 0 || u >= width) continue;
                            visit(row + y * columns + x, (c * height + v) * width + u);
                        }
                    }
                }
            }
        }
    }
    function unfold(a) {
        const [channels, height, width] = a.shape;
        const places = padding(height, size, stride)[1] * padding(width, size, stride)[1];
        const P = zeros([size * size * channels, places]);
        patches(a.shape, (seen, pixel) => (P.data[seen] = a.data[pixel]));
        return P;
    }
    function fold(delta, shape) {
        const whole = zeros(shape);
        patches(shape, (seen, pixel) => (whole.data[pixel] += delta.data[seen]));
        return whole;
    }
    const shapes = ([channels, height, width]) => [
        [kernels, size * size * channels + 1],
        [kernels, padding(height, size, stride)[1], padding(width, size, stride)[1]],
    ];
    return {
        kind: "convolution",
        numbers: { size, stride },
        shapes,
        unfold,
        forward(p, a) {
            const z = reshape(times(p.weights, unfold(a)), shapes(a.shape)[1]);
            const places = z.shape[1] * z.shape[2];
            return map(z, (value, index) => value + p.biases.data[Math.floor(index / places)]);
        },
        pullback(p, a, delta) {
            const places = delta.shape[1] * delta.shape[2];
            const columns = reshape(delta, [kernels, places]);
            const biases = zeros([kernels]);
            delta.data.forEach((d, index) => (biases.data[Math.floor(index / places)] += d));
            return [
                { weights: timesTransposed(columns, unfold(a)), biases },
                fold(transposedTimes(p.weights, columns), a.shape),
            ];
        },
    };
}

/**
 * The greatest of every size x size pixels; it alone gets delta back. Where several are the
 * greatest, each gets the same share.
 * @param {number} size @returns {Layer}
 */
function maxPool(size) {
    const shapes = ([channels, height, width]) => [
        [],
        [channels, Math.floor(height / size), Math.floor(width / size)],
    ];
    /** Calls visit(index of an output, indices of the pixels that it is the greatest of). */
    function windows(shape, visit) {
        const [channels, height, width] = shape;
        const [, rows, columns] = shapes(shape)[1];
        const pixels = new Array(size * size);
        for (let place = 0; place < channels * rows * columns; place++) {
            const c = Math.floor(place / (rows * columns));
            const y = Math.floor(place / columns) % rows;
            const first = (c * height + y * size) * width + (place % columns) * size;
            for (let n = 0; n < pixels.length; n++) {
                pixels[n] = first + Math.floor(n / size) * width + (n % size);
            }
            visit(place, pixels);
        }
    }
    return {
        kind: "max-pool",
        numbers: { size },
        shapes,
        forward(_, a) {
            const greatest = zeros(shapes(a.shape)[1]);
            windows(a.shape, (place, pixels) => {
                greatest.data[place] = Math.max(...pixels.map((pixel) => a.data[pixel]));
            });
            return greatest;
        },
        pullback(_, a, delta) {
            const shared = zeros(a.shape);
            windows(a.shape, (place, pixels) => {
                const greatest = Math.max(...pixels.map((pixel) => a.data[pixel]));
                const those = pixels.filter((pixel) => a.data[pixel] === greatest);
                for (const pixel of those) shared.data[pixel] = delta.data[place] / those.length;
            });
            return [null, shared];
        },
    };
}

/** How a layer is written in a list of them, and what makes it. */
const WORDS = [
    [/^(\d+)$/, (units) => dense(units)],
    [/^conv(\d+)(?:x(\d+))?(?:\/(\d+))?$/, (kernels, size, stride) =>
        convolution(kernels, size, stride)],
    [/^max(\d+)$/, (size) => maxPool(size)],
];

/** The layer that a word names. @param {string} word @returns {Layer} */
function parse(word) {
    for (const [pattern, make] of WORDS) {
        const found = pattern.exec(word);
        if (found) return make(...found.slice(1).map((n) => (n === undefined ? n : Number(n))));
    }
    throw new Error(`${word} is no layer`);
}
