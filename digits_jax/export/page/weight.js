/** One weight's derivative: made out of its factors, measured, and what jax.grad gave. */

const chosen = { n: 0, j: 0, k: 0 };

function chooseWeight(n, j, k) {
    Object.assign(chosen, { n, j, k });
    showLearn();
}

/** The weight of the first layer that this picture has most to say about. */
function chooseGreatest() {
    const { network, params } = current();
    const { l } = affineLayers(network)[0];
    const { grads } = manual(network, params, scalePixels(state.pixels, network), state.label);
    const { data, shape } = grads[l].weights;
    const most = argmax(data.map(Math.abs));
    chooseWeight(0, Math.floor(most / shape[1]), most % shape[1]);
}

/** What jax.grad gave for this weight; null for other pictures, labels or parameters. */
function jaxGradient({ n, j, k }, kind) {
    const { gradients, changes } = current();
    const [biases, weights] = ["biases", "weights"].map((name) => gradients[`layers.${n}.${name}`]);
    const known = state.sample !== null && state.sample < biases.shape[0] && changes === 0 &&
        state.label === content.labels[state.sample];
    if (!known) return null;
    const at = (tensor, ...index) =>
        tensor.data[[state.sample, ...index].reduce((sum, i, d) => sum * tensor.shape[d] + i, 0)];
    if (kind !== "dense") return at(weights, j, k);
    const inputs = gradients[`layers.${n}.inputs`];
    return at(biases, j) * (inputs ? at(inputs, k) : Math.fround(state.pixels[k] / 255));
}

function showWeight(pass) {
    const { network, params } = current();
    const affine = affineLayers(network);
    chosen.n = Math.min(chosen.n, affine.length - 1);
    const { layer, l } = affine[chosen.n];
    const gradient = pass.grads[l].weights;
    chosen.j = Math.min(chosen.j, gradient.shape[0] - 1);
    chosen.k = Math.min(chosen.k, gradient.shape[1] - 1);
    const { n, j, k } = chosen;
    const index = j * gradient.shape[1] + k;
    find("weight-layer").replaceChildren(...affine.map((_, m) =>
        element("option", { value: m, selected: m === n }, String(m + 1))));
    [find("weight-output").value, find("weight-output").max] = [j + 1, gradient.shape[0]];
    [find("weight-input").value, find("weight-input").max] = [k + 1, gradient.shape[1]];

    const delta = pass.deltas[l + 1];
    const w = `w_{${j + 1},${k + 1}}^${n + 1}`;
    const derivative = gradient.data[index];
    const parts = [formula(`${w} = "${written(params[l].weights.data[index], 4)}"`)];
    if (gradient.shape[1] === state.pixels.length) {
        const [, width] = content.image_shape;
        parts.push(quiet(`Input ${k + 1} is the pixel in row ${Math.floor(k / width) + 1}, ` +
            `column ${(k % width) + 1}.`));
    }
    if (n === affine.length - 1) {
        parts.push(quiet(`Output ${j + 1} is class ${content.class_names[j]}.`));
    }
    if (layer.kind === "dense") {
        const a = pass.inputs[l].data[k];
        const before = n ? `a_{${k + 1}}^${n}` : `x_{${k + 1}}`;
        parts.push(formula(`frac{∂C}{∂${w}} = δ_{${j + 1}}^${n + 1} ${before}`),
            formula(`= "${written(delta.data[j], 4)}" × "${written(a, 4)}"`),
            formula(`= "${written(derivative, 4)}"`));
        parts.push(...errorOf(n, j));
    } else {
        const patches = layer.unfold(pass.inputs[l]);
        const places = patches.shape[1];
        const terms = Array.from({ length: places }, (_, place) => {
            const [d, x] = [delta.data[j * places + place], patches.data[k * places + place]];
            const [row, column] = [Math.floor(place / delta.shape[2]), place % delta.shape[2]];
            return [`row ${row + 1}, column ${column + 1}`, d, x, d * x];
        }).sort((s, t) => Math.abs(t[3]) - Math.abs(s[3]));
        parts.push(
            formula(`frac{∂C}{∂${w}} = ∑_{places} δ x = "${written(derivative, 4)}"`),
            table(`The largest ten of its ${places} places`, ["place", "δ", "x", "δ x"],
                terms.slice(0, 10)));
    }
    const which = [l, "weights", index];
    const measured = centralDifference(network, params, pass.inputs[0], state.label, which);
    const jax = jaxGradient(chosen, layer.kind);
    parts.push(table("Its derivative, three times", ["how", "∂C/∂w"], [
        ["its factors: back-propagation", written(derivative, 9)],
        ["measured: (C(w + h) − C(w − h)) / 2h", written(measured, 9)],
        ["jax.grad, in 32 bits", jax === null ? "–" : written(jax, 7)],
    ]));
    if (jax === null) {
        const { shape: [known] } = current().gradients["layers.0.biases"];
        parts.push(quiet("What jax.grad gave is known for the first " +
            `${known > 1 ? `${known} test images` : "test image"}, with the right label and the ` +
            "parameters of the run."));
    }
    find("weight").replaceChildren(...(find("predict").checked && chosen.guessed !== derivative
        ? [parts[0], ask(derivative)] : parts));

    /** Where the error of a dense unit comes from: a sum over the units that it feeds. */
    function errorOf(m, unit) {
        const next = affine[m + 1];
        const { l: at, activation: kind } = affine[m];
        if (!next || next.l !== at + 2) return [];
        const W = params[next.l].weights;
        const back = pass.deltas[at + 2].data[unit];
        const slope = ACTIVATIONS[kind].derivative(pass.inputs[at + 1].data[unit]);
        const terms = Array.from(pass.deltas[next.l + 1].data, (d, i) => {
            const w_i = W.data[i * W.shape[1] + unit];
            return [m + 2 === affine.length ? content.class_names[i] : i + 1, w_i, d, w_i * d];
        });
        return [
            formula(`δ_{${unit + 1}}^${m + 1} = ( ∑_i w_{i,${unit + 1}}^${m + 2} δ_i^${m + 2} ) ` +
                `${ACTIVATIONS[kind].name}' ( z_{${unit + 1}}^${m + 1} )`),
            formula(`= "${written(back, 4)}" × "${written(slope, 4)}" = "${written(back * slope, 4)}"`),
            element("details", {}, element("summary", {}, `The sum over layer ${m + 2}`),
                table(`What unit ${unit + 1} is told by each unit that it feeds`,
                    ["i", "w", "δ", "w δ"], terms)),
        ];
    }
}

/** The sign of a derivative, asked before it is shown. */
function ask(derivative) {
    const signs = ["negative", "zero", "positive"];
    const [group] = choices("Is ∂C/∂w negative, zero or positive?", signs, (index) => {
        chosen.guessed = derivative;
        showLearn();
        const right = index === Math.sign(derivative) + 1;
        find("weight").prepend(element("p", { role: "status" },
            `${right ? "Right" : "Not so"}: it is ${signs[Math.sign(derivative) + 1]}.`));
    });
    return group;
}

function setUpWeight() {
    find("predict").addEventListener("change", showLearn);
    const read = (id) => Math.max(1, Math.round(Number(find(id).value) || 1)) - 1;
    for (const id of ["weight-layer", "weight-output", "weight-input"]) {
        find(id).addEventListener("change", () => chooseWeight(
            Number(find("weight-layer").value), read("weight-output"), read("weight-input")));
    }
}
