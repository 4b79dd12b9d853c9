/** Back-propagation in numbers, a step at a time: the forward pass, then BP1 to BP4. */

let stepShown = 0;

/** A vector's values unit by unit, or maps as pictures. @param {Object<string, Tensor>} columns */
function valuesOf(caption, columns, names = null) {
    const vectors = Object.values(columns);
    if (vectors[0].shape.length > 1) {
        return Object.entries(columns).flatMap(([name, a]) => [formula(name), maps(a, caption)]);
    }
    const head = [names ? "class" : "unit", ...Object.keys(columns).map((name) => formula(name))];
    return [table(caption, head, Array.from(vectors[0].data, (_, j) =>
        [names?.[j] ?? j + 1, ...vectors.map((a) => a.data[j])]))];
}

const vector = (data) => ({ shape: [data.length], data });

/** What back-propagation does with this picture: titles, and functions that show. */
function stepsOf(pass) {
    const { network, params } = current();
    const affine = affineLayers(network);
    const L = affine.length;
    const { formulas, outputs } = network.loss;
    const last = (text) => text.replaceAll("^L", `^${L}`);
    const namesOf = (n) => (n === L - 1 ? content.class_names : null);
    const isMaps = ({ layer }) => layer.kind === "convolution";
    const steps = affine.map((one, n) => ({
        title: `Forward: layer ${n + 1}`,
        show() {
            const z = pass.inputs[one.l + 1];
            const output = n === L - 1;
            const a = output ? vector(outputs(z.data)) : pass.inputs[activated(one)];
            const before = n ? `a^${n}` : "x";
            return [
                formula(`z^${n + 1} = W^${n + 1} ${isMaps(one) ? "∗" : ""} ${before} + b^${n + 1}`),
                formula(output ? last(formulas.outputs)
                    : `a^${n + 1} = ${ACTIVATIONS[one.activation].name} ( z^${n + 1} )`),
                ...valuesOf(`Layer ${n + 1}`, { [`z^${n + 1}`]: z, [`a^${n + 1}`]: a },
                    namesOf(n)),
            ];
        },
    }));
    const delta = (n) => pass.deltas[affine[n].l + 1];
    const z = (n) => pass.inputs[affine[n].l + 1];
    steps.push({
        title: "BP1: the loss and its error",
        show: () => [
            formula(`${last(formulas.loss)} = "${written(pass.value, 4)}"`),
            formula(`δ^${L} = frac{∂C}{∂z^${L}} : ${last(formulas.bp1)}`),
            ...valuesOf(`How each class should move`, {
                [`a^${L}`]: vector(outputs(pass.logits.data)),
                y: map(pass.logits, (_, k) => oneHot(state.label, k)),
                [`δ^${L}`]: delta(L - 1),
            }, content.class_names),
        ],
    });
    for (let n = L - 1; n >= 0; n--) {
        if (n < L - 1) {
            steps.push({ title: `BP2: the error of layer ${n + 1}`, show: () => errorStep(n) });
        }
        steps.push({
            title: `BP3: biases of layer ${n + 1}`,
            show: () => [
                formula(isMaps(affine[n]) ? `frac{∂C}{∂b^${n + 1}} = ∑_{places} δ^${n + 1}`
                    : `frac{∂C}{∂b^${n + 1}} = δ^${n + 1}`),
                ...valuesOf(`Biases of layer ${n + 1}`, {
                    [`b^${n + 1}`]: params[affine[n].l].biases,
                    [`frac{∂C}{∂b^${n + 1}}`]: pass.grads[affine[n].l].biases,
                }, namesOf(n)),
            ],
        }, { title: `BP4: weights of layer ${n + 1}`, show: () => weightsStep(n) });
    }
    return steps;

    function errorStep(n) {
        const { l, activation: kind } = affine[n];
        const f = ACTIVATIONS[kind];
        const through = network.layers.slice(l + 2, affine[n + 1].l).reverse();
        return [
            formula(`δ^${n + 1} = frac{∂C}{∂a^${n + 1}} ⊙ ${f.name}' ( z^${n + 1} )`),
            isMaps(affine[n + 1])
                ? paragraph("∂C/∂a: every place gives Wᵀδ back to the pixels that it saw.")
                : formula(`frac{∂C}{∂a} = {(W^${n + 2})}^T δ^${n + 2}`),
            ...through.map((layer) => paragraph(layer.kind === "flatten"
                ? "Back through flatten: the same numbers, in space again."
                : "Back through max-pool: only the greatest of its pixels gets δ.")),
            ...valuesOf(`Errors of layer ${n + 1}`, {
                [`frac{∂C}{∂a^${n + 1}}`]: pass.deltas[l + 2],
                [`${f.name}' ( z^${n + 1} )`]: map(z(n), f.derivative),
                [`δ^${n + 1}`]: delta(n),
            }),
        ];
    }

    function weightsStep(n) {
        const { l } = affine[n];
        const gradient = pass.grads[l].weights;
        const before = n ? `a^${n}` : "x";
        const shapes = weightPicture(network, l, rowOf(gradient, 0));
        return [
            formula(isMaps(affine[n])
                ? `frac{∂C}{∂W^${n + 1}} = ∑_{places} δ^${n + 1} {(patch)}^T`
                : `frac{∂C}{∂W^${n + 1}} = δ^${n + 1} {(${before})}^T`),
            quiet("The gradient of each output's weights, all of one scale: a step goes against " +
                "it, so that blue weights grow and orange ones shrink. Press a pixel to take that " +
                "weight's derivative apart."),
            pictures(Array.from({ length: gradient.shape[0] }, (_, j) => {
                const [values, , , index] = weightPicture(network, l, rowOf(gradient, j));
                return {
                    values, label: `Gradient of the weights of ${namesOf(n)?.[j] ?? j + 1}`,
                    caption: namesOf(n)?.[j] ?? String(j + 1),
                    press(y, x) {
                        const k = index(y, x);
                        if (k !== null) chooseWeight(n, j, k);
                        find("weight").scrollIntoView({ block: "nearest", behavior: "smooth" });
                    },
                };
            }), shapes[1], shapes[2]),
        ];
    }
}

function showLearn() {
    const { network, params } = current();
    const pass = manual(network, params, scalePixels(state.pixels, network), state.label);
    const steps = stepsOf(pass);
    stepShown = Math.min(stepShown, steps.length - 1);
    const { title, show } = steps[stepShown];
    find("step-title").textContent = `${stepShown + 1} of ${steps.length} · ${title}`;
    find("step-back").disabled = stepShown === 0;
    find("step-on").disabled = stepShown === steps.length - 1;
    find("step-content").replaceChildren(...show());
    learning.choose(state.labelled ? state.label : null);
    const empty = state.pixels.every((level) => level === 0);
    say(find("label-said"), state.labelled || empty ? ""
        : `Below, the network's own answer, ${content.class_names[state.label]}, is the label. ` +
            "Choose the right one before you take a step.");
    for (const id of ["step-one", "step-ten"]) find(id).disabled = empty || !state.labelled;
    learning.show(network.loss.probabilities(pass.logits.data), state.label);
    find("loss").textContent = `Loss C = ${written(pass.value, 4)}` +
        (learning.before === null ? "" : `, before the step ${written(learning.before, 4)}`);
    learning.now = pass.value;
    learning.before = null;
    find("step-undo").disabled = !current().undo.length;
    showWeight(pass);
}

const learning = { before: null };

/** Steps against the gradient for this one picture. */
function learn(times) {
    const one = current();
    one.undo = [...one.undo.slice(-29), { params: copy(one.params), changes: one.changes }];
    const image = scalePixels(state.pixels, one.network);
    for (let n = 0; n < times; n++) {
        step(one.network, one.params, [image], [state.label], learningRate());
    }
    one.changes += times;
    learning.before = learning.now;
    parametersChanged();
}

const learningRate = () => 10 ** Number(find("rate").value);

function setUpLearn() {
    const [group, choose] = choices("The right label", content.class_names, (k) => {
        Object.assign(state, { label: k, labelled: true });
        showLearn();
    });
    find("labels").append(group, element("p", { id: "label-said", class: "quiet" }));
    const [list, show] = bars(content.class_names, "Probabilities, before and after steps");
    find("learn-bars").append(list);
    Object.assign(learning, { choose, show });
    const turn = (by) => () => {
        stepShown += by;
        showLearn();
    };
    find("step-back").addEventListener("click", turn(-1));
    find("step-on").addEventListener("click", turn(1));
    find("rate").addEventListener("input", showRate);
    find("step-one").addEventListener("click", () => learn(1));
    find("step-ten").addEventListener("click", () => learn(10));
    find("step-undo").addEventListener("click", () => {
        Object.assign(current(), current().undo.pop());
        parametersChanged();
    });
}

function showRate() {
    find("rate-said").textContent = `η = ${written(learningRate(), 2)}`;
}
