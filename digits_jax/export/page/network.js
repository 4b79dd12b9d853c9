/**
 * A network as a stack of layers, and back-propagation through it: models.py and gradients.py.
 *
 * @typedef {Object} Network
 * @property {string} name
 * @property {Layer[]} layers
 * @property {number[][]} shapes of each layer's input, and of the output
 * @property {number[][]} parameterShapes
 * @property {Object} loss
 */

/** @param {{hidden: string[], activation: string, loss: string}} config @returns {Network} */
function stack(config, imageShape, numClasses) {
    const network = { layers: [], shapes: [[1, ...imageShape]], parameterShapes: [] };
    const add = (layer) => {
        const [parameters, output] = layer.shapes(network.shapes.at(-1));
        network.layers.push(layer);
        network.parameterShapes.push(parameters);
        network.shapes.push(output);
    };
    for (const layer of [...config.hidden, String(numClasses)].map(parse)) {
        if (layer.kind === "dense" && network.shapes.at(-1).length > 1) add(flatten());
        add(layer);
        if (network.parameterShapes.at(-1).length) add(activation(config.activation));
    }
    network.layers.pop(); // the output has no activation of its own: the loss has
    network.parameterShapes.pop();
    network.shapes.pop();
    network.loss = LOSSES[config.loss];
    return network;
}

/** Parameters from a function of (is a weight, fan-in). @returns {Array<?Affine>} */
function initialise(network, draw) {
    return network.parameterShapes.map(([outputs, columns]) => outputs && {
        weights: map(zeros([outputs, columns - 1]), () => draw(true, columns - 1)),
        biases: map(zeros([outputs]), () => draw(false, columns - 1)),
    });
}

/** One draw from the standard normal distribution (Box and Muller, 1958). */
const randomNormal = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

const INITIALIZERS = {
    zeros: () => 0,
    lecun_normal: (isWeight, fanIn) => (isWeight ? randomNormal() / Math.sqrt(fanIn) : 0),
    standard_normal: randomNormal,
};

/** Grey levels 0 to 255 as numbers in [0, 1]. @returns {Tensor} */
const scalePixels = (pixels, network) => ({
    shape: network.shapes[0],
    data: Float64Array.from(pixels, (level) => level / 255),
});

/** The input of every layer, and the logits after them. @returns {Tensor[]} */
function forward(network, params, image) {
    const inputs = [image];
    network.layers.forEach((layer, l) => inputs.push(layer.forward(params[l], inputs[l])));
    return inputs;
}

/** Takes delta from dC/d(output) of the last layer to dC/d(input) of every layer. */
function backward(network, params, inputs, delta) {
    const deltas = [delta];
    const grads = [];
    for (let l = network.layers.length - 1; l >= 0; l--) {
        const [grad, before] = network.layers[l].pullback(params[l], inputs[l], deltas[0]);
        deltas.unshift(before); // BP2
        grads.unshift(grad); // BP3, BP4
    }
    return { deltas, grads };
}

/**
 * The loss of an example and its gradient by hand: back-propagation.
 *
 * deltas[l] is dC/d(input of layer l): deltas[l + 1] is what layer l's pullback begins with.
 */
function manual(network, params, image, label) {
    const inputs = forward(network, params, image);
    const logits = inputs.at(-1);
    const delta = { ...logits, data: network.loss.derivative(logits.data, label) }; // BP1
    const value = network.loss.function(logits.data, label);
    return { inputs, logits, value, ...backward(network, params, inputs, delta) };
}

/** (C(w + h) - C(w - h)) / 2h for one number of the parameters. */
function centralDifference(network, params, image, label, [layer, field, index], h = 1e-5) {
    const at = (change) => {
        const tensor = map(params[layer][field], (w, i) => (i === index ? w + change : w));
        const moved = params.with(layer, { ...params[layer], [field]: tensor });
        return network.loss.function(forward(network, moved, image).at(-1).data, label);
    };
    return (at(h) - at(-h)) / (2 * h);
}

/** Calls f(parameter's data, gradient's data) for every tensor of the network. */
function eachTensor(params, grads, f) {
    params.forEach((p, l) => {
        if (p) for (const field of ["weights", "biases"]) f(p[field].data, grads[l][field].data);
    });
}

/** A copy that a step may change. @returns {Array<?Affine>} */
const copy = (params) => params.map((p) => p && {
    weights: map(p.weights, (w) => w),
    biases: map(p.biases, (b) => b),
});

/** p - rate * mean gradient of a batch: gradient descent. Changes `params`; the mean loss. */
function step(network, params, images, labels, rate) {
    let loss = 0;
    const sum = copy(params);
    eachTensor(sum, sum, (total) => total.fill(0));
    images.forEach((image, i) => {
        const { value, grads } = manual(network, params, image, labels[i]);
        loss += value / images.length;
        eachTensor(sum, grads, (total, g) => g.forEach((d, j) => (total[j] += d)));
    });
    eachTensor(params, sum, (p, g) => g.forEach((d, j) => (p[j] -= (rate * d) / images.length)));
    return loss;
}
