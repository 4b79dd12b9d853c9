/** Losses of logits and a label, each with its derivative and its probabilities: losses.py. */

/** log softmax(z), safe where logits are large. @param {Float64Array} z */
function logSoftmax(z) {
    const greatest = Math.max(...z);
    const log = greatest + Math.log(z.reduce((sum, value) => sum + Math.exp(value - greatest), 0));
    return z.map((value) => value - log);
}

/** log sigma(z) = -log(1 + exp(-z)). */
const logLogistic = (z) => Math.min(z, 0) - Math.log1p(Math.exp(-Math.abs(z)));

/** y_k: 1 for the right class, else 0. */
const oneHot = (label, k) => (k === label ? 1 : 0);

/** @type {Object<string, {function: (z: Float64Array, label: number) => number,
 *     derivative: (z: Float64Array, label: number) => Float64Array,
 *     outputs: (z: Float64Array) => Float64Array,
 *     probabilities: (z: Float64Array) => Float64Array, formulas: Object<string, string>}>} */
const LOSSES = {
    /** |sigma(z) - y|^2 / 2. */
    quadratic: {
        function: (z, label) =>
            z.reduce((sum, value, k) => sum + (logistic(value) - oneHot(label, k)) ** 2 / 2, 0),
        derivative: (z, label) =>
            z.map((value, k) =>
                (logistic(value) - oneHot(label, k)) * ACTIVATIONS.sigmoid.derivative(value)),
        outputs: (z) => z.map(logistic),
        probabilities: (z) => logSoftmax(z.map(logLogistic)).map(Math.exp),
        formulas: {
            outputs: "a^L = σ ( z^L )",
            loss: "C = frac{1}{2} ∑_k ( a_k^L - y_k ) ^2",
            bp1: "δ^L = ( a^L - y ) ⊙ σ' ( z^L )",
        },
    },
    /** -log softmax(z)_y, in nats. */
    cross_entropy: {
        function: (z, label) => -logSoftmax(z)[label],
        derivative: (z, label) => logSoftmax(z).map((log, k) => Math.exp(log) - oneHot(label, k)),
        outputs: (z) => logSoftmax(z).map(Math.exp),
        probabilities: (z) => logSoftmax(z).map(Math.exp),
        formulas: {
            outputs: "a^L = softmax ( z^L )",
            loss: "C = - log a_y^L",
            bp1: "δ^L = a^L - y",
        },
    },
};
