/** The page: what it carries, what is on it now, and what it offers to the console. */

const content = JSON.parse(find("content").textContent);
content.pixels = await readPng(bytesOf(content.images));

/**
 * What is seen now: an image, the lines of images on the sheet and which of them it is, which
 * sample; its label, and whether a person gave it; the parameters of each network.
 */
const state = {
    pixels: imageAt(0), lines: [[imageAt(0)]], piece: 0, sample: 0,
    label: content.labels[0], labelled: true, active: 0,
};
state.networks = content.networks.map((about) => {
    const network = stack(about.config, content.image_shape, content.class_names.length);
    const trained = paramsOf(network, readSafetensors(bytesOf(about.model)));
    const gradients = readSafetensors(bytesOf(about.gradients));
    return { about, network, trained, params: copy(trained), gradients, changes: 0, undo: [] };
});

/** The network that is looked into, with its parameters. */
const current = () => state.networks[state.active];

/** Everything but the answers; a long stroke waits for it only at its end. */
function showRest() {
    showInside();
    showLearn();
}

function parametersChanged() {
    find("restore").hidden = current().changes === 0;
    showAnswers();
    showRest();
    showUnits();
}

function chooseNetwork(index) {
    state.active = index;
    find("rate").value = Math.log10(usualRate(current().about.config));
    showRate();
    restartHistory();
    parametersChanged();
}

/** For the console: 784 grey levels from 0 to 255 as in MNIST, row by row. */
globalThis.digits = {
    /** The logits. @returns {number[]} */
    predict(pixels, index = state.active) {
        const { network, params } = state.networks[index];
        return Array.from(forward(network, params, scalePixels(pixels, network)).at(-1).data);
    },
    /** The gradient of the loss: layers.0.weights and so on. @returns {Object<string, number[]>} */
    gradient(pixels, label, index = state.active) {
        const { network, params } = state.networks[index];
        const { grads } = manual(network, params, scalePixels(pixels, network), label);
        return Object.fromEntries(grads.filter(Boolean).flatMap(({ weights, biases }, n) => [
            [`layers.${n}.weights`, Array.from(weights.data)],
            [`layers.${n}.biases`, Array.from(biases.data)],
        ]));
    },
    /** A drawing, rows of ink, as MNIST's were made. @returns {number[]} */
    normalise: (rows) => Array.from(normalise(
        { height: rows.length, width: rows[0].length, data: Float64Array.from(rows.flat()) })),
    /** The picture that is on the page. @returns {number[]} */
    pixels: () => Array.from(state.pixels),
    /** The picture as it is answered now, ? where the network is not sure. @returns {string} */
    answer: () => answers[state.active].said.textContent,
    /** The lesson that is open: of each network its settings, parameters and sizes of delta. */
    lesson: () => lesson.sides.map(({ settings, params, deltas }) => ({
        settings, deltas, params: params.filter(Boolean).map(({ weights, biases }) =>
            [Array.from(weights.data), Array.from(biases.data)]),
    })),
};

/** Of the samples that jax.grad was asked of, the one surely read right with the greatest loss. */
function telling() {
    const { network, gradients } = current();
    const { shape: [known] } = gradients["layers.0.biases"];
    return argmax(Array.from({ length: known }, (_, index) => {
        const { best, sure } = read(imageAt(index), 0);
        const right = sure && best === content.labels[index];
        return right ? network.loss.function(digits.predict(imageAt(index), 0), best) : 0;
    }));
}

if (state.networks.length < 2) find("network").closest("label").hidden = true;
find("network").append(...state.networks.map(({ about }, index) =>
    element("option", { value: index }, `${about.name}: ${about.description}`)));
find("network").addEventListener("change", (event) => chooseNetwork(Number(event.target.value)));
find("restore").addEventListener("click", () => startFrom("run"));
find("about").replaceChildren(...state.networks.map(({ about }) => quiet(
    `${about.name}: ${about.description}, ${about.config.activation}, loss ${about.config.loss}` +
    (about.test_accuracy
        ? `, ${(100 * about.test_accuracy).toFixed(2)} % of the test images right` : ""))));
setUpDrawing();
setUpAnswers();
setUpInside();
setUpLearn();
setUpWeight();
setUpTrain();
setUpLessons();
pickSample(telling());
chooseNetwork(0);
chooseGreatest();
document.body.dataset.ready = "true";
