/**
 * A drawing made into an image as MNIST's were made: recognition/normalise.py.
 *
 * MNIST's digits fit a square of 20 pixels, their proportions kept, grey from anti-aliasing, and
 * lie with their centre of mass in the middle of 28 x 28 (LeCun, Bottou, Bengio and Haffner, 1998).
 * Ink is {height, width, data}: 0 for paper, the larger the more ink.
 */

const SIDE = 28;
const BOX = 20;
const [THIN, USUAL] = [1.4, 2.3];
/** Pixels for one of MNIST's that strokes are thickened at. */
const FINE = 4;

/** @returns {Uint8Array} SIDE x SIDE grey levels */
function normalise(drawing) {
    const image = new Uint8Array(SIDE * SIDE);
    let ink = cropped(drawing);
    if (!ink) return image;
    let scale = Math.max(ink.height, ink.width) / BOX;
    if (scale > FINE) { // the time for thickening grows with the fourth power of the scale
        ink = resampled(ink, scale / FINE);
        scale = FINE;
    }
    const thickness = strokeThickness(ink);
    if (scale > 1 && thickness < THIN * scale) ink = thickened(ink, USUAL * scale - thickness);
    const small = resampled(ink, Math.max(ink.height, ink.width) / BOX);
    const most = greatest(small.data);
    const [y, x] = centreOfMass(small);
    const place = (centre, n) => Math.min(Math.max(Math.floor(14.5 - centre), 0), SIDE - n);
    const [top, left] = [place(y, small.height), place(x, small.width)];
    small.data.forEach((value, index) => {
        const row = top + Math.floor(index / small.width);
        image[row * SIDE + left + (index % small.width)] = Math.round((value * 255) / most);
    });
    return image;
}

/** The whole sheet in few pixels, nothing moved: what a network gets without normalisation. */
function shrunk(drawing, height, width) {
    const small = averaged(drawing, height, width);
    return Uint8Array.from(small.data, Math.round);
}

const greatest = (values) => values.reduce((most, value) => Math.max(most, value), 0);

/** The box around the ink, its largest value 1; null where there is none. */
function cropped({ height, width, data }) {
    let [top, bottom, left, right, most] = [height, -1, width, -1, 0];
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
            const value = data[y * width + x];
            if (!value) continue;
            [top, bottom] = [Math.min(top, y), y];
            [left, right] = [Math.min(left, x), Math.max(right, x)];
            most = Math.max(most, value);
        }
    }
    if (bottom < 0) return null;
    const box = sheet(bottom - top + 1, right - left + 1);
    box.data = box.data.map((_, index) => {
        const row = top + Math.floor(index / box.width);
        return data[row * width + left + (index % box.width)] / most;
    });
    return box;
}

/** As Python rounds. */
const halfToEven = (n) => (n % 1 === 0.5 ? 2 * Math.round(n / 2) : Math.round(n));

const sheet = (height, width) => ({ height, width, data: new Float64Array(height * width) });

/** The row and column about which the ink is balanced. */
function centreOfMass({ width, data }) {
    let [mass, y, x] = [0, 0, 0];
    data.forEach((value, index) => {
        mass += value;
        y += value * Math.floor(index / width);
        x += value * (index % width);
    });
    return [y / mass, x / mass];
}

/** Twice the ink over the length of its outline, which is the total variation. */
function strokeThickness({ height, width, data }) {
    const at = (y, x) => (y < 0 || x < 0 || y >= height || x >= width ? 0 : data[y * width + x]);
    let [mass, outline] = [0, 0];
    for (let y = -1; y < height; y++) {
        for (let x = -1; x < width; x++) {
            const value = at(y, x);
            mass += value;
            const [dy, dx] = [at(y + 1, x) - value, at(y, x + 1) - value];
            if (dy || dx) outline += Math.sqrt(dy * dy + dx * dx);
        }
    }
    return (2 * mass) / outline;
}

/** Strokes wider by about `more` pixels: the maximum over a disk. */
function thickened({ height, width, data }, more) {
    const radius = Math.max(1, halfToEven(more / 2));
    const wide = sheet(height + 2 * radius, width + 2 * radius);
    for (let dy = -radius; dy <= radius; dy++) {
        const reach = Math.floor(Math.sqrt((radius + 0.3) ** 2 - dy * dy));
        for (let y = 0; y < height; y++) {
            const row = (y + radius + dy) * wide.width + radius;
            for (let x = 0; x < width; x++) {
                const value = data[y * width + x];
                if (!value) continue;
                for (let u = row + x - reach; u <= row + x + reach; u++) {
                    if (wide.data[u] < value) wide.data[u] = value;
                }
            }
        }
    }
    return wide;
}

/** Smaller by `scale`: means over areas of that many pixels, in whole numbers of areas. */
function resampled(ink, scale) {
    const areas = (n) => Math.max(1, halfToEven(n / scale));
    return averaged(ink, areas(ink.height), areas(ink.width));
}

/** Means over `rows` x `columns` equal areas. */
function averaged({ height, width, data }, rows, columns) {
    const across = sheet(height, columns);
    eachOverlap(width, columns, (area, pixel, share) => {
        for (let y = 0; y < height; y++) {
            across.data[y * columns + area] += share * data[y * width + pixel];
        }
    });
    const small = sheet(rows, columns);
    eachOverlap(height, rows, (area, pixel, share) => {
        for (let x = 0; x < columns; x++) {
            small.data[area * columns + x] += share * across.data[pixel * columns + x];
        }
    });
    return small;
}

/** Calls visit(stretch, pixel, share of the stretch) for `m` equal stretches of `n` pixels. */
function eachOverlap(n, m, visit) {
    for (let area = 0; area < m; area++) {
        const [start, end] = [(area * n) / m, ((area + 1) * n) / m];
        for (let pixel = Math.floor(start); pixel < Math.min(end, n); pixel++) {
            const overlap = Math.min(end, pixel + 1) - Math.max(start, pixel);
            visit(area, pixel, Math.min(overlap, 1) * (m / n));
        }
    }
}
