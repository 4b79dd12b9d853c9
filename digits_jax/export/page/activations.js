/** Activation functions, each beside its derivative derived by hand: activations.py. */

const logistic = (z) => 1 / (1 + Math.exp(-z));
const density = (z) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);

/** Phi(z) = 1/2 + phi(z) (z + z^3/3 + z^5/(3*5) + ...) (Marsaglia, 2004, equation 3). */
function normal(z) {
    if (Math.abs(z) > 8) return z > 0 ? 1 : 0;
    let sum = z;
    for (let term = z, n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) {
        term *= (z * z) / n;
        sum += term;
    }
    return 0.5 + density(z) * sum;
}

/** @type {Object<string, {name: string, function: (z: number) => number,
 *     derivative: (z: number) => number}>} */
const ACTIVATIONS = {
    sigmoid: {
        name: "σ",
        function: logistic,
        derivative: (z) => logistic(z) * (1 - logistic(z)),
    },
    tanh: { name: "tanh", function: Math.tanh, derivative: (z) => 1 - Math.tanh(z) ** 2 },
    relu: { name: "relu", function: (z) => Math.max(z, 0), derivative: (z) => (z > 0 ? 1 : 0) },
    gelu: {
        name: "gelu",
        function: (z) => z * normal(z),
        derivative: (z) => normal(z) + z * density(z),
    },
    silu: {
        name: "silu",
        function: (z) => z * logistic(z),
        derivative: (z) => logistic(z) * (1 + z * (1 - logistic(z))),
    },
};
