/** A photo as ink on the sheet: the paper evened out, the digit cut from it. */

/** @param {?File} file */
async function readPhoto(file) {
    if (!file?.type.startsWith("image/")) return;
    let image;
    try {
        image = await createImageBitmap(file); // turned as its EXIF says
    } catch {
        find("said").textContent = `${file.name}: not a picture that this browser reads`;
        return;
    }
    const paper = find("paper");
    const canvas = element("canvas", { width: paper.width, height: paper.height });
    const context = canvas.getContext("2d");
    const scale = Math.min(paper.width / image.width, paper.height / image.height);
    const [width, height] = [image.width, image.height].map((n) => Math.ceil(n * scale));
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const ink = digitIn(greyOf(data, height, width));
    context.clearRect(0, 0, canvas.width, canvas.height);
    const [left, top] = [(paper.width - width) >> 1, (paper.height - height) >> 1];
    context.drawImage(picture(ink.data, height, width, "", 1, INK), left, top);
    find("said").textContent = "";
    newSheet(canvas);
}

/** Brightness from 0 to 1; what is transparent is white (ITU-R BT.601). */
function greyOf(data, height, width) {
    const grey = sheet(height, width);
    for (let i = 0; i < grey.data.length; i++) {
        const [red, green, blue, alpha] = data.subarray(4 * i, 4 * i + 4);
        const light = (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
        grey.data[i] = 1 + (light - 1) * (alpha / 255);
    }
    return grey;
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

/** Means over squares of 2 radius + 1 pixels, by sums along rows, then columns. */
function blurred(image, radius) {
    const along = ({ height, width, data }) => {
        const turned = sheet(width, height);
        for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) {
                const [from, to] = [Math.max(0, x - radius), Math.min(width - 1, x + radius)];
                let sum = 0;
                for (let u = from; u <= to; u++) sum += data[y * width + u];
                turned.data[x * height + y] = sum / (to - from + 1);
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

/** Where connected ink has at least a tenth of the pixels of the largest part. */
function largeParts({ height, width, data }, least) {
    const part = new Int32Array(data.length);
    const sizes = [0];
    for (let start = 0; start < data.length; start++) {
        if (part[start] || data[start] <= least) continue;
        const found = [start];
        part[start] = sizes.length;
        for (let n = 0; n < found.length; n++) {
            const [y, x] = [Math.floor(found[n] / width), found[n] % width];
            for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
                for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
                    const next = v * width + u;
                    if (part[next] || data[next] <= least) continue;
                    part[next] = sizes.length;
                    found.push(next);
                }
            }
        }
        sizes.push(found.length);
    }
    const most = Math.max(...sizes);
    return part.map((number) => (number && sizes[number] >= most / 10 ? 1 : 0));
}
