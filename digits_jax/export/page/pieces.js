/** Several digits on one sheet: which ink belongs together, in reading order. */

/** Ink below this share of the sheet's strongest is paper. */
const LEAST_INK = 0.1;
/** Parts with less than this share of the largest part's ink are specks. */
const SPECK = 0.03;
/** More parts than this are texture, not writing. */
const MOST_PARTS = 60;

/**
 * The connected parts of the ink, each with its box and its pixels; diagonal neighbours connect.
 * @returns {{top: number, bottom: number, left: number, right: number, pixels: number[]}[]}
 */
function partsOf({ height, width, data }, least) {
    const seen = new Uint8Array(data.length);
    const parts = [];
    for (let start = 0; start < data.length; start++) {
        if (seen[start] || data[start] <= least) continue;
        const part = { top: height, bottom: 0, left: width, right: 0, pixels: [start] };
        seen[start] = 1;
        for (let n = 0; n < part.pixels.length; n++) {
            const [y, x] = [Math.floor(part.pixels[n] / width), part.pixels[n] % width];
            [part.top, part.bottom] = [Math.min(part.top, y), Math.max(part.bottom, y)];
            [part.left, part.right] = [Math.min(part.left, x), Math.max(part.right, x)];
            for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
                for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
                    const next = v * width + u;
                    if (seen[next] || data[next] <= least) continue;
                    seen[next] = 1;
                    part.pixels.push(next);
                }
            }
        }
        parts.push(part);
    }
    return parts;
}

/** All but boxes, grids and rings: parts around another one of at least a fifth of their size. */
function withoutFrames(parts) {
    const size = (part) => Math.max(part.bottom - part.top, part.right - part.left) + 1;
    const inside = (a, b) => a.top > b.top && a.bottom < b.bottom &&
        a.left > b.left && a.right < b.right;
    const large = parts.filter((part) => size(part) >= 8);
    return parts.filter((part) => !large.some((other) =>
        (5 * size(other) >= size(part) || 30 * other.pixels.length >= part.pixels.length) &&
        inside(other, part)));
}

const joined = (a, b) => ({
    top: Math.min(a.top, b.top), bottom: Math.max(a.bottom, b.bottom),
    left: Math.min(a.left, b.left), right: Math.max(a.right, b.right),
    pixels: [...a.pixels, ...b.pixels],
});

/** The share of the shorter of two stretches that lies in both; negative where there is a gap. */
const overlap = (start, end, from, to) =>
    (Math.min(end, to) - Math.max(start, from) + 1) / (Math.min(end - start, to - from) + 1);

/** Whether two parts are strokes of one digit: one above the other, and close together. */
function belongTogether(a, b) {
    const height = Math.max(a.bottom - a.top, b.bottom - b.top) + 1;
    const gap = Math.max(a.top, b.top) - Math.min(a.bottom, b.bottom);
    return overlap(a.left, a.right, b.left, b.right) > 0.4 && gap < 0.25 * height;
}

/** The lines of digits on a sheet, each from left to right, as sheets with one digit's ink. */
function digitsOn(ink) {
    let parts = withoutFrames(partsOf(ink, LEAST_INK * greatest(ink.data)));
    const most = greatest(parts.map(({ pixels }) => pixels.length));
    parts = parts.filter(({ pixels }) => pixels.length >= SPECK * most)
        .sort((a, b) => b.pixels.length - a.pixels.length).slice(0, MOST_PARTS);
    for (let i = 0; i < parts.length; i++) {
        const j = parts.findIndex((part, n) => n > i && belongTogether(parts[i], part));
        if (j < 0) continue;
        parts.splice(i, 1, joined(parts[i], parts.splice(j, 1)[0]));
        i = -1; // the larger part may now touch those before it
    }
    const lines = [];
    for (const part of parts.sort((a, b) => a.top - b.top)) {
        const line = lines.find((placed) => placed.some((one) =>
            overlap(one.top, one.bottom, part.top, part.bottom) > 0.3));
        if (line) line.push(part);
        else lines.push([part]);
    }
    return lines.map((line) => line.sort((a, b) => a.left - b.left).map((part) => {
        const box = sheet(part.bottom - part.top + 1, part.right - part.left + 1);
        for (const pixel of part.pixels) {
            const [y, x] = [Math.floor(pixel / ink.width), pixel % ink.width];
            box.data[(y - part.top) * box.width + x - part.left] = ink.data[pixel];
        }
        return box;
    }));
}
