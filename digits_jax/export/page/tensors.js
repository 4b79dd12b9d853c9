/**
 * Arrays with a shape, and the three products that layers are made of.
 * @typedef {{shape: number[], data: Float64Array}} Tensor
 */

/** @param {number[]} shape */
const count = (shape) => shape.reduce((n, length) => n * length, 1);

/** @param {number[]} shape @returns {Tensor} */
const zeros = (shape) => ({ shape, data: new Float64Array(count(shape)) });

/** @param {Tensor} a @param {number[]} shape @returns {Tensor} */
const reshape = (a, shape) => ({ shape, data: a.data });

/** @param {Tensor} a @param {(value: number, index: number) => number} f @returns {Tensor} */
const map = (a, f) => ({ shape: a.shape, data: a.data.map(f) });

/** Rows and columns: a vector is one column. @param {Tensor} a */
const matrix = (a) => [a.shape[0], a.shape.length > 1 ? a.shape[1] : 1];

/** A B. @param {Tensor} A @param {Tensor} B @returns {Tensor} */
function times(A, B) {
    const [rows, inner] = matrix(A);
    const [, columns] = matrix(B);
    const C = zeros(B.shape.length > 1 ? [rows, columns] : [rows]);
    for (let i = 0; i < rows; i++) {
        for (let k = 0; k < inner; k++) {
            const a = A.data[i * inner + k];
            const [to, from] = [i * columns, k * columns];
            for (let j = 0; j < columns; j++) C.data[to + j] += a * B.data[from + j];
        }
    }
    return C;
}

/** A B^T; of two vectors their outer product. @param {Tensor} A @param {Tensor} B */
function timesTransposed(A, B) {
    const [rows, inner] = matrix(A);
    const [columns] = matrix(B);
    const C = zeros([rows, columns]);
    for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
            let sum = 0;
            for (let k = 0; k < inner; k++) sum += A.data[i * inner + k] * B.data[j * inner + k];
            C.data[i * columns + j] = sum;
        }
    }
    return C;
}

/** A^T B. @param {Tensor} A @param {Tensor} B @returns {Tensor} */
function transposedTimes(A, B) {
    const [inner, rows] = matrix(A);
    const [, columns] = matrix(B);
    const C = zeros(B.shape.length > 1 ? [rows, columns] : [rows]);
    for (let k = 0; k < inner; k++) {
        for (let i = 0; i < rows; i++) {
            const a = A.data[k * rows + i];
            const [to, from] = [i * columns, k * columns];
            for (let j = 0; j < columns; j++) C.data[to + j] += a * B.data[from + j];
        }
    }
    return C;
}
