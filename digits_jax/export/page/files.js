/** Reading what the page carries: base 85, safetensors, PNG. */

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" +
    "!#$%&()*+-;,=>?@^_`{|}~";

/** Four bytes for every five digits of base 85; the last may be fewer. @param {string} text */
function bytesOf(text) {
    const value = Object.fromEntries([...DIGITS].map((digit, n) => [digit, n]));
    const groups = Math.ceil(text.length / 5);
    const view = new DataView(new ArrayBuffer(4 * groups));
    for (let group = 0; group < groups; group++) {
        let number = 0;
        for (let n = 0; n < 5; n++) number = 85 * number + (value[text[5 * group + n]] ?? 84);
        view.setUint32(4 * group, number);
    }
    return new Uint8Array(view.buffer).slice(0, Math.floor((text.length * 4) / 5));
}

/**
 * The tensors of a safetensors file by name: 8 bytes of length, a JSON header, numbers.
 * @param {Uint8Array} bytes @returns {Object<string, Tensor>}
 */
function readSafetensors(bytes) {
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    delete header.__metadata__;
    const read = ({ dtype, shape, data_offsets: [start, end] }) => {
        if (dtype !== "F32") throw new Error(`${dtype}: this page reads F32`);
        const numbers = new Float32Array(bytes.slice(8 + length + start, 8 + length + end).buffer);
        return { shape, data: Float64Array.from(numbers) };
    };
    return Object.fromEntries(Object.entries(header).map(([name, about]) => [name, read(about)]));
}

/** Of layers that have parameters, layers.0.weights and so on, into an entry for every layer. */
function paramsOf(network, tensors) {
    let index = 0;
    return network.parameterShapes.map((shape) => {
        if (!shape.length) return null;
        const name = `layers.${index++}`;
        return { weights: tensors[`${name}.weights`], biases: tensors[`${name}.biases`] };
    });
}

/** The rows of a grey PNG of 8 bits whose rows are not filtered. @returns {Promise<Uint8Array>} */
async function readPng(bytes) {
    const view = new DataView(bytes.buffer);
    const [width, height] = [view.getUint32(16), view.getUint32(20)]; // chunk IHDR
    const length = view.getUint32(33); // of the only chunk IDAT
    const data = new Blob([bytes.subarray(41, 41 + length)]);
    const stream = data.stream().pipeThrough(new DecompressionStream("deflate"));
    const rows = new Uint8Array(await new Response(stream).arrayBuffer());
    const pixels = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) {
        const start = y * (width + 1) + 1; // after the byte that names the filter
        pixels.set(rows.subarray(start, start + width), y * width);
    }
    return pixels;
}
