/** A photo as ink on the sheet: the paper evened out, the digit cut from it. */

/** @param {?File} file */
async function readPhoto(file) {
    if (!file) return;
    let image;
    try {
        image = await createImageBitmap(file); // turned as its EXIF says
    } catch {
        newSheet();
        say(find("said"), `${file.name}: this browser cannot read it as a picture; ` +
            "use a PNG or JPEG file (of a PDF, a screenshot of the page).");
        return;
    }
    const scale = Math.min(1, PHOTO / Math.max(image.width, image.height));
    const [width, height] = [image.width, image.height].map((n) => Math.ceil(n * scale));
    const full = element("canvas", { width, height }).getContext("2d");
    full.drawImage(image, 0, 0, width, height);
    const grey = greyOf(full.getImageData(0, 0, width, height).data, height, width);
    const photo = digitIn(paperIn(grey));

    const paper = find("paper");
    const background = element("canvas", { width: paper.width, height: paper.height });
    const fit = Math.min(paper.width / width, paper.height / height);
    background.getContext("2d").drawImage(picture(photo.data, height, width, "", 1, INK),
        (paper.width - fit * width) / 2, (paper.height - fit * height) / 2,
        fit * width, fit * height);
    newSheet({ background, photo });
    if (!greatest(photo.data)) say(find("said"), `${file.name}: no ink was found on it`);
}

/** The longer side, in pixels, at which a photo is read. */
const PHOTO = 800;

/** Brightness from 0 to 1 (ITU-R BT.601), transparent parts in what contrasts with the rest. */
function greyOf(data, height, width) {
    const grey = sheet(height, width);
    const pixel = (i) => data.subarray(4 * i, 4 * i + 4);
    const light = ([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
    let [opaque, sum] = [0, 0];
    for (let i = 0; i < grey.data.length; i++) {
        opaque += pixel(i)[3] / 255;
        sum += (light(pixel(i)) * pixel(i)[3]) / 255;
    }
    const behind = sum > opaque / 2 && opaque < 0.9 * grey.data.length ? 0 : 1;
    grey.data = grey.data.map((_, i) => behind + (light(pixel(i)) - behind) * (pixel(i)[3] / 255));
    return grey;
}

/**
 * The picture without what lies around a sheet on a dark table: the rest takes the paper's grey.
 *
 * A sheet is one light part that fills most of its own outline, before a mostly dark edge.
 */
function paperIn(grey) {
    const { height, width } = grey;
    const smooth = blurred(grey, Math.max(1, Math.max(height, width) >> 7));
    const threshold = otsu(smooth.data);
    const edge = smooth.data.filter((_, i) => {
        const [y, x] = [Math.floor(i / width), i % width];
        return y === 0 || x === 0 || y === height - 1 || x === width - 1;
    });
    if (edge.filter((light) => light <= threshold).length < 0.6 * edge.length) return grey;
    const part = partsOf(smooth, threshold).reduce((most, one) =>
        one.pixels.length > most.pixels.length ? one : most, { pixels: [] });
    if (part.pixels.length < 0.15 * grey.data.length) return grey;
    const rows = Array.from({ length: height }, () => [width, -1]);
    for (const pixel of part.pixels) {
        const [row, x] = [rows[Math.floor(pixel / width)], pixel % width];
        [row[0], row[1]] = [Math.min(row[0], x), Math.max(row[1], x)];
    }
    const filled = rows.reduce((sum, [left, right]) => sum + Math.max(0, right - left + 1), 0);
    if (part.pixels.length < 0.75 * filled) return grey;
    const light = [...part.pixels.map((pixel) => grey.data[pixel])].sort((a, b) => a - b);
    const margin = Math.max(height, width) >> 6; // the sheet's own edge and its shadow
    const data = grey.data.map((value, i) => {
        const [y, x] = [Math.floor(i / width), i % width];
        const inside = y >= part.top + margin && y <= part.bottom - margin &&
            x >= rows[y][0] + margin && x <= rows[y][1] - margin;
        return inside ? value : light[light.length >> 1];
    });
    return { height, width, data };
}

/** Ink from 0 to 1, whatever the light and the pen; only what is large enough to be a digit. */
function digitIn(grey) {
    const middle = blurred(grey, Math.max(grey.height, grey.width) >> 2);
    const skew = grey.data.reduce((sum, light, i) => sum + (light - middle.data[i]) ** 3, 0);
    if (skew > 0) grey.data.forEach((light, i) => (grey.data[i] = 1 - light)); // light on dark
    const paper = paperOf(grey);
    const contrast = { ...grey, data: grey.data.map((light, i) =>
        Math.min(Math.max(1 - light / Math.max(paper.data[i], 0.05), 0), 1)) };
    const threshold = otsu(contrast.data);
    const inked = contrast.data.filter((c) => c > threshold).sort();
    const pen = inked[inked.length >> 1] ?? 1;
    const kept = largeParts(contrast, Math.max(0.06, 0.4 * pen));
    const soft = contrast.data.map((c, i) =>
        kept[i] ? Math.min(Math.max((c / pen - 0.25) / 0.5, 0), 1) : 0);
    return { ...grey, data: soft };
}

/** Means over squares of 2 radius + 1 pixels, by running sums along rows, then columns. */
function blurred(image, radius) {
    const along = ({ height, width, data }) => {
        const turned = sheet(width, height);
        const sums = new Float64Array(width + 1);
        for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) sums[x + 1] = sums[x] + data[y * width + x];
            for (let x = 0; x < width; x++) {
                const [from, to] = [Math.max(0, x - radius), Math.min(width, x + radius + 1)];
                turned.data[x * height + y] = (sums[to] - sums[from]) / (to - from);
            }
        }
        return turned;
    };
    return along(along(image));
}

/** The brightness of the paper at each pixel: the lightest around, smoothed. */
function paperOf(grey) {
    const { height, width } = grey;
    const cell = Math.max(8, Math.max(height, width) >> 3);
    const smooth = blurred(grey, 2);
    const paper = sheet(height, width);
    const lightest = new Map();
    const cellOf = (y, x) => 1000 * Math.floor(y / cell) + Math.floor(x / cell);
    smooth.data.forEach((light, i) => {
        const key = cellOf(Math.floor(i / width), i % width);
        lightest.set(key, Math.max(lightest.get(key) ?? 0, light));
    });
    paper.data = paper.data.map((_, i) => lightest.get(cellOf(Math.floor(i / width), i % width)));
    return blurred(paper, cell);
}

/** The threshold with the largest variance between its two sides (Otsu, 1979). */
function otsu(values) {
    const counts = new Array(256).fill(0);
    for (const value of values) counts[Math.min(255, Math.floor(256 * value))]++;
    const total = counts.reduce((sum, n, level) => sum + n * level, 0);
    let [below, mass, best, threshold] = [0, 0, -1, 0];
    counts.forEach((n, level) => {
        below += n;
        mass += n * level;
        const above = values.length - below;
        if (!below || !above) return;
        const between = below * above * (mass / below - (total - mass) / above) ** 2;
        if (between > best) [best, threshold] = [between, (level + 1) / 256];
    });
    return threshold;
}

/**
 * Where connected ink has at least a tenth of the pixels of the largest part. What runs off the
 * edge of the picture is a table's line or the next digit, where anything else is there.
 */
function largeParts(ink, least) {
    const kept = new Uint8Array(ink.data.length);
    const all = withoutFrames(partsOf(ink, least));
    const whole = all.filter(({ top, left, bottom, right }) =>
        top > 0 && left > 0 && bottom < ink.height - 1 && right < ink.width - 1);
    const parts = whole.some(({ pixels }) => pixels.length > ink.data.length / 2000) ? whole : all;
    const most = greatest(parts.map(({ pixels }) => pixels.length));
    for (const { pixels } of parts) {
        if (pixels.length >= most / 10) for (const pixel of pixels) kept[pixel] = 1;
    }
    return kept;
}
